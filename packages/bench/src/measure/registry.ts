/** How many devices a registry takes in, how fast one of them is found, and how long it takes to know all of them again. */
import { once } from "node:events";
import { Agent, request } from "node:http";
import { Readable } from "node:stream";
import { AppError } from "@myelin/kernel";
import { waitFor } from "@myelin/testkit";
import type { Recoverable, Running } from "../systems/system.js";
import { type Figures, significant } from "./stats.js";
import { readMemoryByRole } from "./usage.js";

const LOOKUPS = 20_000;
/** One at a time: what is measured is the way there and back, not a queue. */
const LINES_AT_ONCE = 500;
const START_WITHIN_MS = 280_000;
const MIB = 1024 * 1024;

export interface RegistryRun {
  readonly running: Running;
  readonly recoverable: Recoverable;
  readonly httpPort: number;
  readonly devices: number;
}

/** @throws AppError `internal.unexpected` when not every device was taken */
export async function measureRegistry({
  running,
  recoverable,
  httpPort,
  devices,
}: RegistryRun): Promise<Figures> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ask = async (
    method: string,
    path: string,
    body?: Readable,
  ): Promise<{ status: number; text: string }> => {
    const headers = body === undefined ? {} : { "content-type": "application/x-ndjson" };
    const sent = request({
      agent,
      host: "127.0.0.1",
      port: httpPort,
      method,
      path: `/api/v1/devices${path}`,
      headers,
    });
    const answered = once(sent, "response") as Promise<[import("node:http").IncomingMessage]>;
    if (body === undefined) sent.end();
    else body.pipe(sent);
    const [response] = await answered;
    let text = "";
    for await (const chunk of response) text += String(chunk);
    return { status: response.statusCode ?? 0, text };
  };
  const isThere = (): Promise<boolean> =>
    ask("GET", "?limit=1").then(
      ({ status }) => status === 200,
      () => false,
    );
  try {
    await waitFor(isThere, { what: "the registry", deadlineMs: 60_000 });
    const before = coreBytes(running);
    let from = performance.now();
    const { status, text } = await ask("POST", "", Readable.from(lines(devices)));
    if (status !== 200)
      throw new AppError("internal.unexpected", `the import was answered ${status}: ${text.slice(0, 300)}`);
    const importSeconds = (performance.now() - from) / 1_000;

    const tookMs: number[] = [];
    from = performance.now();
    for (let i = 0; i < LOOKUPS; i++) {
      const at = performance.now();
      const { status: found } = await ask("GET", `/device-${Math.floor(Math.random() * devices)}`);
      if (found !== 200) throw new AppError("internal.unexpected", `a device was answered ${found}`);
      tookMs.push(performance.now() - at);
    }
    const lookupSeconds = (performance.now() - from) / 1_000;
    tookMs.sort((a, b) => a - b);

    const pid = recoverable.pidOf("core");
    if (pid === undefined) throw new AppError("internal.unexpected", "the box tells no core");
    const killed = performance.now();
    process.kill(pid, "SIGKILL");
    await waitFor(async () => recoverable.pidOf("core") !== pid && (await isThere()), {
      what: "all devices to be there again",
      deadlineMs: START_WITHIN_MS,
      everyMs: 100,
    });
    return {
      imported_per_second: significant(devices / importSeconds),
      lookup_p50_ms: significant(tookMs[Math.floor(LOOKUPS * 0.5)]!),
      lookup_p99_ms: significant(tookMs[Math.floor(LOOKUPS * 0.99)]!),
      lookups_per_second: significant(LOOKUPS / lookupSeconds),
      start_seconds: significant((performance.now() - killed) / 1_000),
      core_growth_mb: significant((coreBytes(running) - before) / MIB),
    };
  } finally {
    agent.destroy();
  }
}

function coreBytes(running: Running): number {
  return readMemoryByRole(running).core?.rssBytes ?? 0;
}

/** As an operator's file has them: a profile, two tags and a group each. */
function* lines(devices: number): Iterable<string> {
  for (let from = 0; from < devices; from += LINES_AT_ONCE) {
    let text = "";
    for (let i = from; i < Math.min(devices, from + LINES_AT_ONCE); i++)
      text += `{"id":"device-${i}","profile":"boiler","tags":{"site":"s${i % 100}","floor":"${i % 7}"},"groups":["g${i % 1_000}"]}\n`;
    yield text;
  }
}
