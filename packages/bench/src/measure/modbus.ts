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

/** Behind the death of a unit, before the others are counted. */
const SETTLED_SECONDS = 10;
/** Long enough for a dead unit to be asked again twice. */
const COUNTED_SECONDS = 20;

/** Of the turns of polls, how many must be kept with all units alive: a late line hides what a dead one costs. */
const KEPT_UP = 0.95;

export interface DeadUnitOptions {
  readonly units: number;
  /** Of each unit, with one request a turn. */
  readonly pollMs: number;
  readonly warmUpSeconds: number;
}

/**
 * Figures: reads per second that the units but the last one answer, `reads_before` and `reads_beside` it when dead;
 * `rate_beside_dead` is their ratio.
 * @throws AppError `setup.process_failed` when the line does not keep up before: then the ratio would say nothing
 */
export async function measureDeadUnit(rig: AgentRig, options: DeadUnitOptions): Promise<Figures> {
  const { units, pollMs, warmUpSeconds } = options;
  const others = units - 1;
  await delay(warmUpSeconds * 1_000);
  const before = ((await answeredPerSecond(rig)) * others) / units;
  const wanted = (others * 1_000) / pollMs;
  if (before < KEPT_UP * wanted) {
    const found = `${significant(before)} of ${significant(wanted)} reads a second`;
    throw new AppError("setup.process_failed", `the line does not keep up with all units alive: ${found}`);
  }
  rig.units.silent.add(units);
  await delay(SETTLED_SECONDS * 1_000);
  const beside = await answeredPerSecond(rig);
  return {
    reads_before: significant(before),
    reads_beside: significant(beside),
    rate_beside_dead: significant(beside / before),
  };
}

async function answeredPerSecond(rig: AgentRig): Promise<number> {
  const answered = () => rig.metric("myelin_hardware_agent_reads_total", 'outcome="answered"');
  const [first, began] = [await answered(), performance.now()];
  await delay(COUNTED_SECONDS * 1_000);
  const last = await answered();
  return ((last - first) * 1_000) / (performance.now() - began);
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
