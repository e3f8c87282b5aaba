/** Polled Modbus TCP units: by the agent, and by a loop that does nothing with what it reads. */
import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "@myelin/kernel";
import type { AgentRig } from "../hardware/agent.js";
import { Units } from "../hardware/units.js";
import { siblingProgram } from "../paths.js";
import { type Controlled, startControlled } from "../process/controlled.js";
import type { Running } from "../systems/system.js";
import { numberIn, rateBetween } from "./reports.js";
import { type Figures, significant } from "./stats.js";
import { readCpu } from "./usage.js";

/** How long is measured, behind a time in which the code gets warm. */
export interface PollWindow {
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

/** Figures: `tags_per_second` that the event stream has stored, `agent_cores`, `tags_per_core`, `failed_reads`. */
export async function measureAgent(rig: AgentRig, window: PollWindow): Promise<Figures> {
  const stored = () => rig.metric("myelin_hardware_agent_outbox_stored_samples_total");
  const failed = () => rig.metric("myelin_hardware_agent_reads_total", 'outcome="failed"');
  await delay(window.warmUpSeconds * 1_000);
  const [before, failedBefore] = [await stored(), await failed()];
  const from = readCpu(rig);
  await delay(window.seconds * 1_000);
  const to = readCpu(rig);
  const tags = (await stored()) - before;
  const seconds = Number(to.timeNs - from.timeNs) / 1e9;
  const cpuSeconds = to.seconds - from.seconds;
  return {
    tags_per_second: significant(tags / seconds),
    agent_cores: significant(cpuSeconds / seconds, 3),
    tags_per_core: significant(tags / cpuSeconds),
    failed_reads: (await failed()) - failedBefore,
  };
}

/** A loop beside units of its own. */
export interface LoopRig extends Running {
  readonly loop: Controlled;
}

/** @param atOnce registers in one request */
export async function startLoop(units: number, points: number, atOnce: number): Promise<LoopRig> {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await Units.listen());
  const loop = stack.use(
    await startControlled({
      name: "loop of modbus-serial",
      command: process.execPath,
      args: [
        siblingProgram(new URL("../hardware/", import.meta.url).href, "loop"),
        ...[server.port, units, points, atOnce].map(String),
      ],
    }),
  );
  const open = stack.move();
  return {
    version: "modbus-serial",
    loop,
    pids: () => [loop.pid as number],
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

/** Figures: `tags_per_second` and `tags_per_core` of the loop. */
export async function measureLoop({ loop }: LoopRig, window: PollWindow): Promise<Figures> {
  await delay(window.warmUpSeconds * 1_000);
  const from = await loop.snapshot();
  await delay(window.seconds * 1_000);
  const to = await loop.snapshot();
  const tags = numberIn(to, "received") - numberIn(from, "received");
  if (tags === 0) throw new AppError("setup.process_failed", "the loop has read nothing");
  return {
    tags_per_second: significant(rateBetween(from, to, "received")),
    tags_per_core: significant(tags / (numberIn(to, "cpu_seconds") - numberIn(from, "cpu_seconds"))),
  };
}
