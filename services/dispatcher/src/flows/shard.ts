/** The runs of one partition: taken, carried on from event to event, each written down before it has an effect, and brought to an end. */
import type { flow as wire } from "@myelin/contract";
import {
  type AttemptName,
  attemptsUnderWay,
  checkInput,
  type Decision,
  evaluateOutputs,
  isOver,
  nextOf,
  type RunEvent,
  type Values,
} from "@myelin/flows";
import { AppError, type Clock, type Timer } from "@myelin/kernel";
import type { CoreLog } from "../core/ports.js";
import type { JournalWriter } from "../journal/journal.js";
import { flowToWire, runToWire, statusOf } from "./answers.js";
import type { Attempts } from "./attempts.js";
import type { FlowBook, RunEntry } from "./book.js";
import type { FlowInForce } from "./flow-table.js";
import { sizeOf } from "./journal.js";
import { RunQueues } from "./queues.js";
import { closingOf, runValues } from "./results.js";
import { unknown } from "./steps/step.js";
import { Watchers } from "./watchers.js";

export interface FlowShardOptions {
  readonly book: FlowBook;
  readonly journal: JournalWriter<wire.JournalRecord>;
  readonly attempts: Attempts;
  readonly clock: Clock;
  readonly log: CoreLog;
  flowOf(name: string): FlowInForce | undefined;
  /** The flows in force whose runs belong to this partition. */
  flowsHere(): Iterable<FlowInForce>;
  /** Ids of the devices that a step is for. @throws AppError `flow.invalid` for too many, `request.*`, `bus.*` */
  devicesOf(tenant: string, by: "group" | "profile" | "list", wanted: unknown): Promise<readonly string[]>;
}

const MAX_OPEN = 10_000;
const MAX_ENDED = 20_000;
const MAX_BYTES = 256 * 1024 * 1024;
const MAX_WAIT_MS = 10_000;
const MAX_LIST_BYTES = 256 * 1_024;
const TICK_MS = 1_000;
const RETRY_MS = 1_000;

/** One per owned partition, from the moment on at which its journal was read. */
export class FlowShard {
  readonly #queues = new RunQueues();
  readonly #ended = new Map<string, RunEntry>();
  readonly #timers = new Map<string, Timer>();
  /** Steps whose devices are being looked up. */
  readonly #opening = new Set<string>();
  readonly #closing = new Set<(error: AppError) => void>();
  /** Told when what has happened to a run is stored. */
  readonly #saving = new Map<string, Promise<void>>();
  readonly #watchers: Watchers;
  #ticker: Timer | undefined;
  #isClosed = false;

  constructor(private readonly options: FlowShardOptions) {
    this.#watchers = new Watchers(options.clock);
  }

  /** Goes on with what is there. */
  open(): void {
    const { book, clock } = this.options;
    this.#ticker = clock.setInterval(() => this.#tick(), TICK_MS);
    for (const entry of book.runs.values()) {
      if (isOver(entry.state.status)) this.#ended.set(entry.header.id, entry);
      else this.#queues.add(entry);
    }
    for (const entry of book.open.values()) if (entry.state.status !== "waiting") this.#takeOn(entry);
    for (const flow of this.#queues.flows()) this.#begin(flow);
  }

  /** Nothing is taken or begun any more, and whoever waits asks the next owner. */
  close(): void {
    this.#isClosed = true;
    const { clock, attempts } = this.options;
    attempts.close();
    clock.clear(this.#ticker);
    for (const timer of this.#timers.values()) clock.clear(timer);
    for (const end of this.#closing) end(notHere());
    this.#watchers.wakeAll();
  }

  /** @throws AppError `flow.*`, `queue.full`, `request.no_responder` */
  async start(wanted: wire.Start): Promise<wire.Run> {
    this.#expectOpen();
    const known = this.options.book.runs.get(wanted.id);
    if (known !== undefined) {
      const { tenant, flow, input } = known.header;
      if (tenant !== wanted.tenant || flow !== wanted.flow || input !== wanted.input)
        throw new AppError("flow.key_reused", "the idempotency key stands for a run with another input");
      return await this.#told(known);
    }
    const entry = this.#create(wanted);
    this.#queues.add(entry);
    this.#begin(entry.header.flow);
    return await this.#told(entry);
  }

  /** @throws AppError `flow.unknown` */
  async get({ tenant, id, revision, waitMs }: wire.Get): Promise<wire.Run> {
    this.#expectOpen();
    const entry = this.#find(tenant, id);
    if (entry.happened.length + 1 <= revision && !isOver(entry.state.status) && waitMs > 0)
      await this.#watchers.changed(id, Math.min(waitMs, MAX_WAIT_MS));
    this.#expectOpen();
    return await this.#told(entry);
  }

  /** @throws AppError `flow.unknown`, `flow.ended` */
  async cancel({ tenant, id, author }: wire.Cancel): Promise<wire.Run> {
    this.#expectOpen();
    const entry = this.#find(tenant, id);
    const { state } = entry;
    if (isOver(state.status) || state.cause !== undefined)
      throw new AppError("flow.ended", `the run ${id} has ended, or undoes what it did`);
    const message = author === undefined || author.name === "" ? "cancelled" : `cancelled by ${author.name}`;
    const failure = { code: "flow.cancelled", message };
    if (state.status === "waiting") this.#happen(entry, { kind: "begun", atMs: this.#nowMs() });
    this.#happen(entry, { kind: "stopped", cause: { kind: "cancelled", failure }, atMs: this.#nowMs() });
    this.options.attempts.stop(id, new AppError("flow.cancelled", message));
    this.#goOn(entry);
    return await this.#told(entry);
  }

  list({ tenant, flow, statuses, beforeUs, beforeId, limit }: wire.List): wire.RunList {
    this.#expectOpen();
    const found = [...this.options.book.runs.values()]
      .filter(
        ({ header, state }) =>
          header.tenant === tenant &&
          (flow === "" || header.flow === flow) &&
          (statuses.length === 0 || statuses.includes(statusOf(state))) &&
          (beforeUs === 0 ||
            header.createdAtUs < beforeUs ||
            (header.createdAtUs === beforeUs && header.id < beforeId)),
      )
      .sort(({ header: a }, { header: b }) => b.createdAtUs - a.createdAtUs || (a.id < b.id ? 1 : -1));
    const runs: wire.Run[] = [];
    let bytes = 0;
    for (const entry of found) {
      if (runs.length >= limit || bytes > MAX_LIST_BYTES) break;
      const run = runToWire(entry, true);
      bytes += run.outputs.length + (run.header?.input.length ?? 0) + 256;
      runs.push(run);
    }
    return { runs, more: runs.length < found.length };
  }

  describe(): wire.FlowList {
    this.#expectOpen();
    const flows = [...this.options.flowsHere()].map(({ flow }) => {
      const { waiting, running } = this.#queues.counts(flow.name);
      return flowToWire(flow, waiting, running);
    });
    return { flows };
  }

  #create({ id, tenant, flow: name, input, priority, author, depth }: wire.Start): RunEntry {
    const { book, clock } = this.options;
    const inForce = this.options.flowOf(name);
    if (inForce === undefined) throw new AppError("flow.unknown", `there is no flow ${name.slice(0, 253)}`);
    const { flow, version } = inForce;
    checkInput(flow, parsed(input));
    const wish = priority ?? flow.spec.priority;
    if (wish < -100 || wish > 100)
      throw new AppError("flow.invalid", "the priority is not between -100 and 100");
    const { waiting, running } = this.#queues.counts(name);
    const isBusy = running >= flow.spec.limits.runs && waiting >= flow.spec.limits.waiting;
    if (isBusy || book.open.size >= MAX_OPEN || book.bytes >= MAX_BYTES)
      throw new AppError("queue.full", `too many runs of ${name} wait`);
    if (!book.hasVersion(name, version))
      this.#write({
        record: { $case: "version", value: { flow: name, version, spec: JSON.stringify(flow.spec) } },
      });
    const createdAtUs = clock.wallUs();
    const header: wire.Header = {
      id,
      tenant,
      flow: name,
      version,
      input,
      priority: wish,
      createdAtUs,
      author,
      depth,
    };
    this.#write({ record: { $case: "created", value: header } });
    const entry = book.runs.get(id) as RunEntry;
    this.#save(entry);
    return entry;
  }

  /** Begins what may begin of a flow. */
  #begin(flow: string): void {
    for (let next = this.#queues.next(flow); next !== undefined; next = this.#queues.next(flow)) {
      this.#happen(next, { kind: "begun", atMs: this.#nowMs() });
      this.#goOn(next);
    }
  }

  /** What was under way when its last owner ended. */
  #takeOn(entry: RunEntry): void {
    for (const { begunAtMs, ...name } of attemptsUnderWay(entry.state)) {
      if (this.options.attempts.mayTakeOn(entry, name))
        void this.#carryOut(entry, name, begunAtMs, undefined);
      else this.#settle(entry, name, unknown("the process that carried it out has ended"));
    }
    this.#goOn(entry);
  }

  /** Does what is to be done now, until there is nothing more before something happens. */
  #goOn(entry: RunEntry): void {
    if (this.#isClosed) return;
    const { clock } = this.options;
    const { id } = entry.header;
    for (;;) {
      const { decisions, wakeAtMs } = nextOf(entry.flow.plan, entry.state, this.#nowMs());
      let hasHappened = false;
      for (const decision of decisions) {
        // What was decided together holds together, but for the end of it all.
        if (entry.state.cause !== undefined && decision.kind === "open") continue;
        hasHappened = this.#decide(entry, decision) || hasHappened;
      }
      if (hasHappened) continue;
      clock.clear(this.#timers.get(id));
      this.#timers.delete(id);
      if (isOver(entry.state.status)) this.#end(entry);
      else if (wakeAtMs !== undefined) {
        const timer = clock.setTimeout(() => this.#goOn(entry), Math.max(1, wakeAtMs - this.#nowMs()));
        this.#timers.set(id, timer);
      }
      return;
    }
  }

  /** False: nothing has happened yet. */
  #decide(entry: RunEntry, decision: Decision): boolean {
    const atMs = this.#nowMs();
    switch (decision.kind) {
      case "open":
        return this.#open(entry, decision.step);
      case "try": {
        const { kind: _kind, item: _item, ...name } = decision;
        this.#happen(entry, { kind: "tried", ...name, atMs });
        void this.#carryOut(entry, name, atMs, this.#saved(entry));
        return true;
      }
      case "close":
        this.#happen(entry, { kind: "closed", step: decision.step, ...closingOf(entry, decision), atMs });
        return true;
      case "stop":
        this.#happen(entry, { kind: "stopped", cause: decision.cause, atMs });
        this.options.attempts.stop(
          entry.header.id,
          new AppError("operation.aborted", decision.cause.failure.message),
        );
        return true;
      case "finish":
        this.#finish(entry, atMs);
        return true;
    }
  }

  #open(entry: RunEntry, step: string): boolean {
    const key = `${entry.header.id}/${step}`;
    if (this.#opening.has(key)) return false;
    const compiled = entry.flow.steps.get(step);
    const atMs = this.#nowMs();
    const values = runValues(entry);
    try {
      if (compiled?.when?.holds(values as never) === false) {
        this.#happen(entry, { kind: "skipped", step, atMs });
        return true;
      }
      const each = compiled?.each;
      if (each === undefined) {
        this.#happen(entry, { kind: "opened", step, items: [""], atMs });
        return true;
      }
      const wanted = each.of.render(values);
      this.#opening.add(key);
      void this.#lookUp(entry, step, key, each.by, wanted);
      return false;
    } catch (thrown) {
      this.#refuse(entry, step, AppError.from(thrown));
      return true;
    }
  }

  async #lookUp(
    entry: RunEntry,
    step: string,
    key: string,
    by: "group" | "profile" | "list",
    wanted: unknown,
  ): Promise<void> {
    const { clock, devicesOf } = this.options;
    const { tenant } = entry.header;
    let end: () => void;
    for (;;) {
      try {
        const items = await devicesOf(tenant, by, wanted);
        end = () => this.#happen(entry, { kind: "opened", step, items, atMs: this.#nowMs() });
        break;
      } catch (thrown) {
        const error = AppError.from(thrown);
        end = () => this.#refuse(entry, step, error);
        // The timeout of the run ends it.
        if (!error.retryable || entry.state.cause !== undefined) break;
      }
      if (this.#isClosed) return;
      await clock.sleep(RETRY_MS);
    }
    this.#opening.delete(key);
    if (this.#isClosed || entry.state.cause !== undefined) return;
    end();
    this.#goOn(entry);
  }

  /** A step that cannot even begin. */
  #refuse(entry: RunEntry, step: string, { code, message }: AppError): void {
    const atMs = this.#nowMs();
    this.#happen(entry, { kind: "opened", step, items: [], atMs });
    this.#happen(entry, { kind: "closed", step, outputs: {}, failure: { code, message }, atMs });
  }

  #finish(entry: RunEntry, atMs: number): void {
    let outputs: Values = {};
    if (entry.state.cause === undefined) {
      try {
        outputs = evaluateOutputs(entry.flow.outputs, runValues(entry));
      } catch (thrown) {
        const { code, message } = AppError.from(thrown);
        const cause = { kind: "failed", failure: { code, message: `outputs: ${message}` } } as const;
        this.#happen(entry, { kind: "stopped", cause, atMs });
        return;
      }
    }
    this.#happen(entry, { kind: "finished", outputs, atMs });
  }

  #end(entry: RunEntry): void {
    const { id, flow } = entry.header;
    if (this.#ended.has(id)) return;
    this.#ended.set(id, entry);
    this.#queues.remove(entry);
    this.#begin(flow);
  }

  /** Nothing is done before it is stored that it will be. */
  async #carryOut(
    entry: RunEntry,
    name: AttemptName,
    begunAtMs: number,
    stored: Promise<void> | undefined,
  ): Promise<void> {
    try {
      await stored;
    } catch {
      // The next owner knows that it was to be done, or does not.
      return;
    }
    // Called off before it began: certainly not done.
    const cause = name.isUndo ? undefined : entry.state.cause;
    const outcome =
      cause !== undefined && stored !== undefined
        ? ({ kind: "failed", failure: cause.failure, retryable: false } as const)
        : await this.options.attempts.carryOut(entry, name, begunAtMs);
    if (outcome === undefined || this.#isClosed) return;
    this.#settle(entry, name, outcome);
    this.#goOn(entry);
  }

  #settle(entry: RunEntry, name: AttemptName, outcome: (RunEvent & { kind: "settled" })["outcome"]): void {
    this.#happen(entry, { kind: "settled", ...name, outcome, atMs: this.#nowMs() });
  }

  #happen(entry: RunEntry, event: RunEvent): void {
    const value = { run: entry.header.id, event: JSON.stringify(event) };
    this.#write({ record: { $case: "happened", value } });
    this.#save(entry);
  }

  #write(record: wire.JournalRecord): void {
    // First: an event that cannot happen is not written down.
    this.options.book.apply(record);
    this.options.journal.add(record, sizeOf(record));
  }

  #save({ header: { id } }: RunEntry): void {
    const saved = new Promise<void>((resolve, reject) => {
      this.#closing.add(reject);
      this.options.journal.whenStored(() => {
        this.#closing.delete(reject);
        resolve();
      });
    });
    const own = saved.then(() => {
      if (this.#saving.get(id) === own) this.#saving.delete(id);
      this.#watchers.wake(id);
    });
    // Whoever waits for it is told; nobody may.
    own.catch(() => undefined);
    this.#saving.set(id, own);
  }

  #saved({ header: { id } }: RunEntry): Promise<void> {
    return this.#saving.get(id) ?? Promise.resolve();
  }

  /** The run as it is stored; nothing is told of what a crash might take back. */
  async #told(entry: RunEntry): Promise<wire.Run> {
    const now = runToWire(entry, false);
    await this.#saved(entry);
    return now;
  }

  #tick(): void {
    const { book, journal } = this.options;
    if (journal.shouldCompact(book.bytes)) journal.rewrite(book.records(), () => undefined);
    const now = this.#nowMs();
    for (const { header, flow, state } of this.#ended.values()) {
      const isOld = (state.endedAtMs ?? 0) + flow.spec.keep <= now;
      if (!isOld && this.#ended.size <= MAX_ENDED && book.bytes < MAX_BYTES) continue;
      this.#ended.delete(header.id);
      this.#write({ record: { $case: "forgotten", value: header.id } });
    }
  }

  #find(tenant: string, id: string): RunEntry {
    const entry = this.options.book.runs.get(id);
    if (entry?.header.tenant === tenant) return entry;
    throw new AppError("flow.unknown", `there is no run ${id}`);
  }

  #nowMs(): number {
    return this.options.clock.wallMs();
  }

  #expectOpen(): void {
    if (this.#isClosed) throw notHere();
  }
}

function parsed(input: string): unknown {
  try {
    return JSON.parse(input) as unknown;
  } catch (cause) {
    throw new AppError("flow.invalid", "the input is no JSON", { cause });
  }
}

function notHere(): AppError {
  return new AppError("request.no_responder", "the partition has another owner, or is being read");
}
