/** Executes commands on hardware: checked here again, never twice, and never called done without having been read back. */
import { type Clock, type Component, withDeadline } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import { checkParameters, type ProfileCommand } from "@myelin/profile";
import type { ActuatedDevice, WritePriority } from "./actuated-device.js";
import type { BegunCommand, CommandJournal } from "./command-journal.js";
import type { CommandResult, RejectionReason } from "./command-result.js";
import { FailSafes } from "./fail-safes.js";
import { type Expectation, expectationOf, isExpected, type PointWrite, writesOf } from "./planned-writes.js";

/** Commands of one device that wait for their turn. */
const MAX_WAITING = 64;
const READ_AGAIN_MS = 100;
/** A stop does not wait longer for the disk. */
const STOP_JOURNAL_MS = 50;

/** What is to be executed. */
export interface CommandOrder {
  /** The same command always has the same key, and no other has it. */
  readonly key: string;
  readonly command: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  /** Of whoever asked. */
  readonly roles: readonly string[];
  /** It stems from something that was kept during an outage. */
  readonly replayed: boolean;
  /** Unix milliseconds; it is not begun afterwards. */
  readonly expiresAtMs: number;
}

interface Lane {
  /** Ends what is under way and what waits, for a stop. */
  abort: AbortController;
  tail: Promise<unknown>;
  waiting: number;
}

interface Attempt {
  readonly device: ActuatedDevice;
  readonly priority: WritePriority;
  readonly signal: AbortSignal;
}

/** One per agent, over an open journal. */
export class Actuator implements Component {
  readonly name = "actuator";
  readonly #journal: CommandJournal;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #failSafes: FailSafes;
  readonly #lanes = new Map<string, Lane>();
  readonly #running = new Map<string, Promise<CommandResult>>();
  #isStopping = false;

  constructor(options: { journal: CommandJournal; clock: Clock; logger: Logger }) {
    this.#journal = options.journal;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#failSafes = new FailSafes({ ...options, preempt: (device) => this.#preempt(device) });
  }

  async start(): Promise<void> {
    await this.#journal.open();
  }

  /** Ends what is under way, writes the fail-safe values that are armed, and closes the journal. */
  async stop(): Promise<void> {
    if (this.#isStopping) return;
    this.#isStopping = true;
    for (const device of this.#lanes.keys()) this.#preempt(device);
    await this.#failSafes.stop();
    await Promise.allSettled(this.#running.values());
    await this.#journal.close();
  }

  /**
   * The device can be reached, first or again: settles what an earlier process has left open and waits for due fail-safe values. Called when it appears
   * and when its resources change.
   */
  attach(device: ActuatedDevice): void {
    this.#failSafes.attach(device);
    for (const begun of this.#journal.unsettled) {
      if (begun.device === device.id && !this.#running.has(begun.key))
        void this.#track(begun.key, () => this.#settle(begun, device));
    }
  }

  /** The device is not ours any more. Its fail-safe values are written first. */
  async detach(id: string): Promise<void> {
    this.#preempt(id);
    this.#lanes.delete(id);
    await this.#failSafes.detach(id);
  }

  /** How the command ended; the same key always gives the same answer, and is executed once. Never rejects. */
  execute(order: CommandOrder, device: ActuatedDevice): Promise<CommandResult> {
    const { key } = order;
    const running = this.#running.get(key);
    if (running !== undefined) return running;
    const known = this.#journal.find(key);
    if (known?.result !== undefined) return Promise.resolve(known.result);
    if (known !== undefined) return this.#track(key, () => this.#settle(known.begun, device));
    if (this.#isStopping) return Promise.resolve(rejected("preempted", "the agent stops"));
    const command = device.profile.commands.get(order.command);
    if (command === undefined) {
      const text = `the profile ${device.profile.name} has no command ${order.command}`;
      return Promise.resolve(rejected("bad_parameters", text));
    }
    return this.#track(key, () => this.#queue(order, command, device));
  }

  #track(key: string, work: () => Promise<CommandResult>): Promise<CommandResult> {
    const result = work()
      .catch((thrown): CommandResult => {
        this.#logger.error({ key, err: thrown }, "the execution of a command failed by a defect");
        return { state: "unknown", message: (thrown as Error).message };
      })
      .finally(() => this.#running.delete(key));
    this.#running.set(key, result);
    return result;
  }

  #laneOf(id: string): Lane {
    let lane = this.#lanes.get(id);
    if (lane === undefined) {
      lane = { abort: new AbortController(), tail: Promise.resolve(), waiting: 0 };
      this.#lanes.set(id, lane);
    }
    return lane;
  }

  #preempt(id: string): void {
    const lane = this.#laneOf(id);
    lane.abort.abort();
    lane.abort = new AbortController();
  }

  #queue(order: CommandOrder, command: ProfileCommand, device: ActuatedDevice): Promise<CommandResult> {
    const isStop = command.spec.risk === "stop";
    // A stop does not wait for anybody: what is under way writes nothing more.
    if (isStop) this.#preempt(device.id);
    const lane = this.#laneOf(device.id);
    const attempt: Attempt = {
      device,
      priority: isStop ? "stop" : "command",
      signal: lane.abort.signal,
    };
    if (isStop) {
      const stop = this.#begin(order, command, attempt);
      // What comes next waits for it.
      lane.tail = Promise.allSettled([lane.tail, stop]);
      return stop;
    }
    if (lane.waiting >= MAX_WAITING) {
      const text = `${MAX_WAITING} commands wait for ${device.id} already`;
      return Promise.resolve(rejected("busy", text));
    }
    lane.waiting += 1;
    const turn = lane.tail.then(() => {
      lane.waiting -= 1;
      return this.#begin(order, command, attempt);
    });
    lane.tail = Promise.allSettled([turn]);
    return turn;
  }

  async #begin(order: CommandOrder, command: ProfileCommand, attempt: Attempt): Promise<CommandResult> {
    const { device, signal } = attempt;
    const { spec } = command;
    const refusal = this.#refusal(order, command, attempt);
    if (refusal !== undefined) return refusal;
    const { key, parameters } = order;
    const subject = spec.safety?.parameter;
    const value = subject === undefined ? undefined : (parameters[subject] as number);
    const atMs = this.#clock.wallMs();
    const begun: BegunCommand = {
      ...{ kind: "begun", key, device: device.id, command: order.command, parameters, atMs },
      ...(value === undefined ? {} : { value }),
    };
    // Both are on the disk before anything is written, so that a crash forgets neither.
    const written = Promise.all([
      this.#journal.append(begun),
      ...(spec.failSafe === undefined
        ? []
        : [this.#failSafes.arm(device, order.command, spec.failSafe.after)]),
    ]);
    try {
      if (attempt.priority !== "stop") await written;
      else {
        const what = "the journal before a stop";
        await withDeadline(undefined, STOP_JOURNAL_MS, () => written, { clock: this.#clock, what });
      }
    } catch (thrown) {
      const { message } = thrown as Error;
      if (attempt.priority !== "stop") return rejected("not_written", `nothing was written: ${message}`);
      written.catch(() => {});
      this.#logger.error(
        { device: device.id, command: order.command, trouble: message },
        "a stop goes on without the journal",
      );
    }
    if (signal.aborted) return this.#end(key, rejected("preempted", "a stop came first"));
    return this.#end(
      key,
      await this.#write(writesOf(spec, parameters), expectationOf(spec, parameters), attempt),
    );
  }

  #refusal(
    order: CommandOrder,
    { spec, safety }: ProfileCommand,
    attempt: Attempt,
  ): CommandResult | undefined {
    const { device, signal } = attempt;
    const { parameters, roles, replayed } = order;
    const nowMs = this.#clock.wallMs();
    if (signal.aborted) return rejected("preempted", "a stop came first");
    if (!(nowMs < order.expiresAtMs)) return { state: "expired" };
    if (replayed) return rejected("replayed", "what was kept during an outage causes no commands");
    if (device.isReadOnly) return rejected("read_only", `${device.id} is only read`);
    const [problem] = checkParameters(spec, parameters);
    if (problem !== undefined) {
      const text = `${problem.path.join(".")} must be ${problem.rule}`;
      return rejected("bad_parameters", text);
    }
    if (writesOf(spec, parameters).length === 0) {
      return rejected("nothing_to_write", `the profile does not say what ${order.command} writes`);
    }
    const last = this.#journal.lastBegun(device.id, order.command);
    const lastAllowed = last === undefined ? undefined : { atMs: last.atMs, value: last.value };
    const decision = safety?.decide({ parameters, roles, replayed, nowMs }, lastAllowed, device.latest);
    return decision?.allowed === false ? rejected(decision.reason, decision.message) : undefined;
  }

  async #write(
    writes: readonly PointWrite[],
    expected: Expectation | undefined,
    attempt: Attempt,
  ): Promise<CommandResult> {
    const { device, priority, signal } = attempt;
    for (const [i, { point, value, waitMs }] of writes.entries()) {
      const { outcome, error } = signal.aborted
        ? { outcome: "not_written" as const, error: undefined }
        : await device.write(point, value, priority, signal);
      const cause = signal.aborted ? "a stop came first" : (error?.message ?? "the unit did not take it");
      if (outcome === "not_written") {
        if (i === 0) return rejected(signal.aborted ? "preempted" : "not_written", `${point}: ${cause}`);
        return {
          state: "unknown",
          message: `${i} of ${writes.length} values were written, then ${point}: ${cause}`,
        };
      }
      if (outcome === "unknown") return this.#readBack(expected, attempt, `${point}: ${cause}`);
      if (waitMs > 0) await this.#pause(waitMs, signal);
    }
    return expected === undefined ? { state: "executed" } : this.#readBack(expected, attempt, undefined);
  }

  /**
   * The first good reading after the unit had its time decides. @param doubt why it is not certain that anything was written; then another value tells nothing
   */
  async #readBack(
    expected: Expectation | undefined,
    { device, priority, signal }: Attempt,
    doubt: string | undefined,
  ): Promise<CommandResult> {
    if (expected === undefined) return { state: "unknown", message: doubt! };
    const { point, settleMs, withinMs } = expected;
    const endMs = this.#clock.nowMs() + withinMs;
    const fromUs = this.#clock.wallUs() + settleMs * 1_000;
    if (settleMs > 0) await this.#pause(settleMs, signal);
    while (!signal.aborted) {
      const sample = await device.read(point, priority, signal);
      if (sample?.quality === "good" && sample.value !== null && sample.timeUs >= fromUs) {
        const { value } = sample;
        if (isExpected(expected, sample)) return { state: "verified", value };
        if (doubt === undefined) return { state: "mismatch", expected: expected.value, value };
        const seen = `${point} is ${String(value)}, not ${String(expected.value)}`;
        return { state: "unknown", message: `${doubt}; ${seen}` };
      }
      if (this.#clock.nowMs() + READ_AGAIN_MS >= endMs) break;
      await this.#pause(READ_AGAIN_MS, signal);
    }
    const why = signal.aborted
      ? "a stop came before it was read back"
      : `no good reading of ${point} came in time`;
    return { state: "unknown", message: doubt === undefined ? why : `${doubt}; ${why}` };
  }

  /** A process died with it: nothing is written again. */
  async #settle(begun: BegunCommand, device: ActuatedDevice): Promise<CommandResult> {
    const { key, parameters } = begun;
    const command = device.profile.commands.get(begun.command);
    const expected = command === undefined ? undefined : expectationOf(command.spec, parameters);
    const { signal } = this.#laneOf(device.id).abort;
    const attempt: Attempt = { device, priority: "command", signal };
    const doubt = "the agent ended while it was executed";
    return this.#end(key, await this.#readBack(expected, attempt, doubt));
  }

  async #end(key: string, result: CommandResult): Promise<CommandResult> {
    try {
      await this.#journal.append({ kind: "ended", key, atMs: this.#clock.wallMs(), result });
    } catch (thrown) {
      // Whoever asks again gets what reading back says then.
      this.#logger.error(
        { key, trouble: (thrown as Error).message },
        "how a command ended could not be kept",
      );
    }
    return result;
  }

  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    await Promise.allSettled([this.#clock.sleep(ms, signal)]);
  }
}

function rejected(reason: RejectionReason, message: string): CommandResult {
  return { state: "rejected", reason, message };
}
