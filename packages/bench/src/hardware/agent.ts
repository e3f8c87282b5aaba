/** A hardware-agent in a process of its own, before a NATS server that is not counted. */
import { existsSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { AppError } from "@myelin/kernel";
import { freePorts, startNats, startProcess, tempDir, waitFor } from "@myelin/testkit";
import type { Running } from "../systems/system.js";
import { type HardwareLayout, hardwareResources } from "./resources.js";
import { Units } from "./units.js";

const READY_MS = 60_000;
const ASK_MS = 10_000;
const myelin = (): string => fileURLToPath(new URL("../../../../bin/myelin", import.meta.url));

/** An agent and the units that it polls; `pids` are those of the agent only. */
export interface AgentRig extends Running {
  readonly units: Units;
  /** What its metrics page says, summed over the labels that begin as told, such as `outcome="failed"`. */
  metric(name: string, labels?: string): Promise<number>;
}

/** Sum over the lines of a metric whose labels contain `labels`; 0 where there is none. */
export function sumOf(page: string, name: string, labels = ""): number {
  let sum = 0;
  for (const line of page.split("\n"))
    if ((line.startsWith(`${name} `) || line.startsWith(`${name}{`)) && line.includes(labels))
      sum += Number(line.slice(line.lastIndexOf(" ")));
  return sum;
}

/**
 * Resolves when every unit has answered.
 * @throws AppError `operation.timeout` when one has not within a minute
 */
export async function startAgent(layout: Omit<HardwareLayout, "port">): Promise<AgentRig> {
  if (!existsSync(myelin())) throw new AppError("setup.process_failed", `there is no ${myelin()}`);
  await using stack = new AsyncDisposableStack();
  const units = stack.use(await Units.listen());
  const nats = stack.use(await startNats());
  const dir = stack.use(await tempDir("bench-agent"));
  const resources = stack.use(await tempDir("bench-agent-resources"));
  writeFileSync(resources.join("hardware.yaml"), hardwareResources({ ...layout, port: units.port }));
  const [admin] = await freePorts(1);
  const config = {
    process: { dataDir: dir.path },
    admin: { port: admin },
    nats: { servers: [nats.url], maxStore: "1GiB" },
    resources: { directory: resources.path },
  };
  const file = dir.join("service.yaml");
  writeFileSync(file, JSON.stringify(config));
  const child = stack.use(
    await startProcess({
      name: "hardware-agent",
      command: myelin(),
      args: ["hardware-agent", "--config", file],
      ready: { url: `http://127.0.0.1:${admin}/readyz` },
      readyMs: READY_MS,
    }),
  );
  const metric = async (name: string, labels?: string): Promise<number> => {
    const signal = AbortSignal.timeout(ASK_MS);
    const answer = await fetch(`http://127.0.0.1:${admin}/metrics`, { signal });
    return sumOf(await answer.text(), name, labels);
  };
  // Answers must have come from all of them: a unit counts as well before it was asked.
  const reads = layout.units * Math.ceil(layout.points / 125);
  await waitFor(
    async () => (await metric("myelin_hardware_agent_reads_total", 'outcome="answered"')) >= reads,
    {
      what: "all units to answer",
      deadlineMs: READY_MS,
    },
  );
  const open = stack.move();
  return {
    version: process.version,
    units,
    metric,
    pids: () => [child.pid],
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}
