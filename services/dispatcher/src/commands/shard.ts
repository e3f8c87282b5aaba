/** The commands of one partition: taken, given to their devices, followed, and brought to an end. */
import { command as wire } from "@myelin/contract";
import { AppError, type Timer } from "@myelin/kernel";
import type { LastAllowed, Profile, Sample } from "@myelin/profile";
import { commandOf, parametersOf, toCommand } from "./acceptance.js";
import { DeviceQueues } from "./device-queues.js";
import {
  type AnswerStatus,
  applyProgress,
  type CommandEvent,
  dueUs,
  isTerminal,
  isUntouched,
  progressOf,
  stateOf,
} from "./ladder.js";
import type { Denial } from "./metrics.js";
import type { ShardOptions } from "./ports.js";

/** Commands of a partition, and of one device, that may be under way; a tenth more of stops. */
const MAX_OPEN = 10_000;
const MAX_OPEN_OF_DEVICE = 1_000;
const TICK_MS = 100;
const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 5_000;
/** After a change of owner what devices have said meanwhile comes first. */
const GRACE_US = 2_000_000;
const MAX_WAIT_MS = 10_000;
const MAX_WAITING = 20_000;
const MAX_LIST_BYTES = 256 * 1_024;
const ABOUT_BYTES = 512;
/** Good reports of the point that is read back, kept for the answer that may come behind them on the other lane. */
const MAX_REPORTS = 16;

/** Codes after which it is certain that the device does not have the message. */
const NOT_GIVEN = new Set([
  "device.not_connected",
  "device.not_subscribed",
  "limit.slow_client",
  "limit.frame_too_large",
  "queue.full",
]);

const { State } = wire;

interface Waiter {
  readonly until: wire.State;
  readonly wake: () => void;
}

/** One per owned partition, from the moment on at which its journal was read. */
export class CommandShard {
  readonly #queues = new DeviceQueues();
  readonly #reports = new Map<string, Sample[]>();
  /** Writes of a command that are under way; resolved when the last one is stored. */
  readonly #saving = new Map<string, Promise<void>>();
  readonly #waiting = new Map<string, Set<Waiter>>();
  readonly #graceUntilUs: number;
  #waiters = 0;
  #timer: Timer | undefined;
  #isClosed = false;
  readonly #closing = new Set<(error: AppError) => void>();

  constructor(private readonly options: ShardOptions) {
    this.#graceUntilUs = options.clock.wallUs() + GRACE_US;
    for (const command of options.book.open.values()) this.#queues.add(command);
    if (options.book.open.size > 0) this.#tickSoon();
  }

  /** Commands that their devices certainly do not have. */
  get waiting(): number {
    let sum = 0;
    for (const command of this.options.book.open.values()) if (isUntouched(command)) sum += 1;
    return sum;
  }

  /** Nothing is taken any more, and whoever waits asks the next owner. */
  close(): void {
    this.#isClosed = true;
    this.options.clock.clear(this.#timer);
    for (const end of this.#closing) end(notHere());
    this.#closing.clear();
    for (const set of this.#waiting.values()) for (const { wake } of set) wake();
    this.#waiting.clear();
  }

  /** @throws AppError `command.*`, `limit.rate`, `queue.full`, `request.no_responder` */
  async submit(submit: wire.Submit): Promise<wire.Command> {
    this.#expectOpen();
    const { book } = this.options;
    const { tenant, device, idempotencyKey } = submit;
    const known =
      book.find(submit.id) ??
      (idempotencyKey === "" ? undefined : book.byKey(tenant, device, idempotencyKey));
    if (known !== undefined) {
      const isSame =
        known.device === device && known.name === submit.name && known.parameters === submit.parameters;
      if (!isSame) throw new AppError("command.key_reused", "the idempotency key stands for another command");
      return await this.#toldWhen(known, submit);
    }
    const command = this.#accept(submit);
    this.#write({ record: { $case: "command", value: snapshotOf(command) } }, command, true);
    book.apply({ record: { $case: "command", value: command } });
    this.#queues.add(command);
    this.#tickSoon();
    const saved = this.#saved(command);
    // What can be given at once is written down together with its acceptance.
    this.#pump(tenant, device);
    await saved;
    return await this.#toldWhen(command, submit);
  }

  /** @throws AppError `command.unknown` */
  async get({ tenant, id, steps, until, waitMs }: wire.Get): Promise<wire.Command> {
    this.#expectOpen();
    const command = this.#find(tenant, id);
    const isThere = until === State.UNSPECIFIED ? command.steps.length > steps : stateOf(command) >= until;
    if (!isThere && !isTerminal(command) && waitMs > 0)
      await this.#changed(id, until, Math.min(waitMs, MAX_WAIT_MS));
    this.#expectOpen();
    return await this.#told(command);
  }

  /** @throws AppError `command.unknown`, `command.under_way` */
  async cancel({ tenant, id, author }: wire.Cancel): Promise<wire.Command> {
    this.#expectOpen();
    const command = this.#find(tenant, id);
    const message = author === undefined || author.name === "" ? "" : `by ${author.name}`;
    const saved = this.#advance(command, { kind: "cancel", atUs: this.options.clock.wallUs(), message });
    if (saved === undefined) {
      const why = isTerminal(command) ? "has ended" : "may have reached its device";
      throw new AppError("command.under_way", `the command ${id} ${why}`);
    }
    this.options.audit({ action: "cancelled", command, author, message });
    await saved;
    return await this.#told(command);
  }

  list({ tenant, device, states, beforeUs, beforeId, limit }: wire.List): wire.CommandList {
    this.#expectOpen();
    const found = [...this.options.book.all()]
      .filter(
        (one) =>
          one.tenant === tenant &&
          (device === "" || one.device === device) &&
          (states.length === 0 || states.includes(stateOf(one))) &&
          (beforeId === "" ||
            one.createdAtUs < beforeUs ||
            (one.createdAtUs === beforeUs && one.id < beforeId)),
      )
      .sort((a, b) => b.createdAtUs - a.createdAtUs || (a.id < b.id ? 1 : -1));
    const commands: wire.Command[] = [];
    let bytes = 0;
    for (const one of found) {
      bytes += ABOUT_BYTES + one.parameters.length;
      if (commands.length === limit || (bytes > MAX_LIST_BYTES && commands.length > 0)) break;
      commands.push(one);
    }
    return { commands, more: found.length > commands.length };
  }

  /** A device has answered; resolves when what follows is stored. Undefined: it concerns nothing here. */
  answered(
    tenant: string,
    device: string,
    id: string,
    answer: { readonly status: AnswerStatus; readonly message: string; readonly atUs: number },
  ): Promise<void> | undefined {
    const command = this.options.book.open.get(id);
    // A device speaks for itself only.
    if (command === undefined || command.device !== device || command.tenant !== tenant) return undefined;
    // By the clock of whoever took the answer in; never before the device was given the command.
    const atUs = Math.max(answer.atUs, command.attemptedAtUs);
    let saved = this.#advance(command, { kind: "answer", ...answer, atUs });
    for (const sample of this.#reports.get(id) ?? [])
      saved = this.#advance(command, { kind: "report", atUs: this.options.clock.wallUs(), sample }) ?? saved;
    return saved;
  }

  /** A device has reported; only live, good samples come here. */
  reported(key: string, samples: readonly Sample[]): Promise<void> | undefined {
    let saved: Promise<void> | undefined;
    for (const command of this.#queues.verifying(key)) {
      if (command.attempts === 0) continue;
      for (const sample of samples) {
        if (sample.point !== command.verify!.point || sample.quality !== "good") continue;
        this.#keep(command, sample);
        const atUs = this.options.clock.wallUs();
        saved = this.#advance(command, { kind: "report", atUs, sample }) ?? saved;
      }
    }
    return saved;
  }

  /** A device has come. */
  online(tenant: string, device: string): void {
    if (this.#isClosed) return;
    this.#queues.retryNow(tenant, device);
    this.#pump(tenant, device);
  }

  #accept(submit: wire.Submit): wire.Command {
    const { clock, book } = this.options;
    const { tenant, device, name } = submit;
    const profile = this.#profileOf(tenant, device);
    const kind = commandOf(profile, device, name);
    const parameters = parametersOf(submit.parameters);
    const command = toCommand(submit, kind, parameters, clock.wallUs());
    const isStop = command.risk === wire.Risk.STOP;
    if (submit.overRate && !isStop)
      throw new AppError("limit.rate", "whoever asks has used up its rate; only stops are taken");
    const most = isStop ? 1.1 : 1;
    if (book.open.size >= MAX_OPEN * most || this.#queues.sizeOf(tenant, device) >= MAX_OPEN_OF_DEVICE * most)
      throw new AppError("queue.full", `too many commands wait for ${device}`);
    const denial = this.#denialOf(command, profile);
    const { author } = command;
    if (denial !== undefined) this.options.meters.denied(denial.reason);
    if (denial !== undefined && command.overrideReason === "") {
      this.options.audit({ action: "denied", command, author, message: denial.message });
      const { reason, message } = denial;
      throw new AppError("command.denied", `${reason}: ${message}`, { details: { reason } });
    }
    const action = command.overrideReason === "" ? "accepted" : "overridden";
    this.options.audit({ action, command, author, message: denial?.message ?? "" });
    return command;
  }

  #denialOf(
    command: wire.Command,
    profile: Profile | undefined,
  ): { readonly reason: Denial; readonly message: string } | undefined {
    const { tenant, device, name, replayed, author } = command;
    const kind = profile?.commands.get(name);
    if (kind === undefined) return { reason: "unsupported", message: "its profile has no such command" };
    const { samples, clock, book } = this.options;
    const parameters = parametersOf(command.parameters);
    const request = { parameters, roles: author?.roles ?? [], replayed, nowMs: clock.wallUs() / 1_000 };
    if (kind.safety === undefined)
      return replayed
        ? { reason: "replayed", message: "what was kept during an outage causes no commands" }
        : undefined;
    const known = book.allowed(tenant, device, name);
    const last: LastAllowed | undefined =
      known === undefined ? undefined : { atMs: known.atUs / 1_000, value: known.value };
    const decision = kind.safety.decide(request, last, samples.of(DeviceQueues.keyOf(tenant, device)));
    return decision.allowed ? undefined : decision;
  }

  #profileOf(tenant: string, device: string): Profile | undefined {
    const profile = this.options.profileOf(tenant, device);
    if (profile === "unknown") throw notHere();
    return profile;
  }

  #find(tenant: string, id: string): wire.Command {
    const command = this.options.book.find(id);
    if (command?.tenant === tenant) return command;
    throw new AppError("command.unknown", `there is no command ${id}`);
  }

  /** Gives a device what waits for it: stops at once, others one after the other. */
  #pump(tenant: string, device: string): void {
    const { clock, link } = this.options;
    if (this.#isClosed || !link.isConnected(tenant, device)) return;
    for (;;) {
      const command = this.#queues.next(tenant, device, clock.nowMs());
      if (command === undefined || !this.#begin(command)) return;
    }
  }

  /** False: not now. */
  #begin(command: wire.Command): boolean {
    const { clock, book } = this.options;
    const { tenant, device, name } = command;
    const profile = this.options.profileOf(tenant, device);
    if (profile === "unknown") return false;
    const atUs = clock.wallUs();
    if ((dueUs(command) ?? 0) <= atUs || atUs >= command.expiresAtUs) {
      this.#queues.later(command, Number.POSITIVE_INFINITY);
      return true;
    }
    const denial = command.overrideReason === "" ? this.#denialOf(command, profile) : undefined;
    if (denial !== undefined) {
      this.options.meters.denied(denial.reason);
      const message = `${denial.reason}: ${denial.message}`;
      this.options.audit({ action: "denied", command, author: command.author, message });
      if (this.#advance(command, { kind: "denied", atUs, message }) === undefined)
        this.#queues.later(command, clock.nowMs() + MAX_RETRY_MS);
      return true;
    }
    const before = { mayHaveRun: command.mayHaveRun, allowed: book.allowed(tenant, device, name) };
    const envelope = profile?.spec.commands[name]?.safety;
    if (envelope !== undefined) {
      const value =
        envelope.parameter === undefined ? undefined : parametersOf(command.parameters)[envelope.parameter];
      this.#allow({ tenant, device, name, atUs, value: typeof value === "number" ? value : undefined });
    }
    const saved = this.#advance(command, { kind: "attempt", atUs });
    if (saved === undefined) return true;
    this.#queues.given(command);
    void this.#give(command, saved, before, envelope !== undefined);
    return true;
  }

  async #give(
    command: wire.Command,
    saved: Promise<void>,
    before: { readonly mayHaveRun: boolean; readonly allowed: wire.LastAllowed | undefined },
    isBounded: boolean,
  ): Promise<void> {
    const { clock, link, log } = this.options;
    const { tenant, device, name } = command;
    try {
      // Written down first: whoever comes after a crash knows that it may have been given.
      await saved;
      if (command.overrideReason !== "") await this.options.audited();
      const handed = await link.give(command);
      if (handed === "acknowledged") this.#advance(command, { kind: "delivered", atUs: clock.wallUs() });
      // Otherwise the answer tells, or the device comes anew and gets it again.
      this.#queues.later(command, Number.POSITIVE_INFINITY);
    } catch (thrown) {
      if (this.#isClosed) return;
      const error = AppError.from(thrown);
      const atUs = clock.wallUs();
      if (error.code === "device.refused") {
        this.#advance(command, { kind: "answer", atUs, status: "REJECTED", message: error.message });
        return;
      }
      if (NOT_GIVEN.has(error.code)) {
        const { mayHaveRun, allowed } = before;
        if (isBounded && !mayHaveRun)
          this.#allow(allowed ?? { tenant, device, name, atUs: 0, value: undefined });
        this.#advance(command, { kind: "returned", atUs, mayHaveRun });
      }
      log.debug({ code: error.code }, "a command could not be given to its device yet");
      this.#queues.later(
        command,
        clock.nowMs() + Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(10, command.attempts - 1)),
      );
    } finally {
      this.#queues.done(command);
      this.#pump(tenant, device);
    }
  }

  #allow(value: wire.LastAllowed): void {
    const record: wire.JournalRecord = { record: { $case: "allowed", value } };
    this.options.journal.add(record);
    this.options.book.apply(record);
  }

  #keep({ id }: wire.Command, sample: Sample): void {
    const kept = this.#reports.get(id);
    if (kept === undefined) this.#reports.set(id, [sample]);
    else {
      kept.push(sample);
      if (kept.length > MAX_REPORTS) kept.shift();
    }
  }

  /** What an event makes of a command, written down; undefined: nothing. */
  #advance(command: wire.Command, event: CommandEvent): Promise<void> | undefined {
    const made = progressOf(command, event);
    if (made === undefined) return undefined;
    applyProgress(command, made);
    const { meters } = this.options;
    for (const { state, atUs } of made.steps) meters.step(state, (atUs - command.createdAtUs) / 1e6);
    const isUrgent =
      event.kind === "attempt" ||
      event.kind === "cancel" ||
      [...(this.#waiting.get(command.id) ?? [])].some(({ until }) => isAwaited(command, until));
    this.#write({ record: { $case: "progress", value: made } }, command, isUrgent);
    if (isTerminal(command)) {
      this.options.book.settle(command);
      this.#queues.remove(command);
      this.#reports.delete(command.id);
      const { state, cause } = command.steps.at(-1)!;
      meters.ended(state, cause);
      const message = `${wire.stateToJSON(state).slice("STATE_".length)} ${cause}`.trimEnd();
      this.options.audit({ action: "ended", command, author: command.author, message });
    } else if (stateOf(command) >= State.DELIVERED) this.#queues.settled(command);
    return this.#saved(command);
  }

  /** @param isUrgent somebody waits for it; otherwise it is written with what comes in the next moments */
  #write(record: wire.JournalRecord, command: wire.Command, isUrgent: boolean): void {
    const { id } = command;
    this.options.journal.add(record, 192);
    const { journal } = this.options;
    const saved: Promise<void> = new Promise<void>((resolve, reject) => {
      this.#closing.add(reject);
      const stored = (): void => {
        this.#closing.delete(reject);
        resolve();
      };
      if (isUrgent) journal.whenStored(stored);
      else journal.onStored(stored);
    });
    const own = saved.then(() => {
      if (this.#saving.get(id) === own) this.#saving.delete(id);
      for (const waiter of [...(this.#waiting.get(id) ?? [])])
        if (isAwaited(command, waiter.until)) waiter.wake();
    });
    // Whoever waits for it is told; nobody may.
    own.catch(() => undefined);
    this.#saving.set(id, own);
  }

  #saved({ id }: wire.Command): Promise<void> {
    return this.#saving.get(id) ?? Promise.resolve();
  }

  /** When it has come to what the submission waits for; at the end of the ownership as it is, so that its id is known. */
  async #toldWhen(command: wire.Command, { until, waitMs }: wire.Submit): Promise<wire.Command> {
    const now = await this.#told(command);
    if (until === State.UNSPECIFIED || waitMs === 0 || isAwaited(command, until)) return now;
    await this.#changed(command.id, until, Math.min(waitMs, MAX_WAIT_MS));
    return this.#isClosed ? now : await this.#told(command);
  }

  /** The command as it is stored; nothing is told of steps that might be taken back by a crash. */
  async #told(command: wire.Command): Promise<wire.Command> {
    const now = snapshotOf(command);
    if (this.#saving.has(command.id)) this.options.journal.whenStored(() => undefined);
    await this.#saved(command);
    return now;
  }

  async #changed(id: string, until: wire.State, waitMs: number): Promise<void> {
    if (this.#waiters >= MAX_WAITING) throw new AppError("queue.full", "too many wait for commands");
    const { clock } = this.options;
    this.#waiters += 1;
    await new Promise<void>((resolve) => {
      const waiting = this.#waiting.get(id) ?? new Set<Waiter>();
      this.#waiting.set(id, waiting);
      const waiter: Waiter = {
        until,
        wake: () => {
          clock.clear(timer);
          if (!waiting.delete(waiter)) return;
          if (waiting.size === 0 && this.#waiting.get(id) === waiting) this.#waiting.delete(id);
          this.#waiters -= 1;
          resolve();
        },
      };
      const timer = clock.setTimeout(waiter.wake, waitMs);
      waiting.add(waiter);
    });
  }

  #tickSoon(): void {
    if (this.#isClosed || this.#timer !== undefined) return;
    this.#timer = this.options.clock.setTimeout(() => {
      this.#timer = undefined;
      this.#tick();
      if (this.options.book.open.size > 0) this.#tickSoon();
    }, TICK_MS);
  }

  #tick(): void {
    const { book, clock, journal } = this.options;
    if (journal.shouldCompact(book.bytes)) journal.rewrite(book.records(), () => undefined);
    const atUs = clock.wallUs();
    for (const command of book.open.values()) {
      const due = dueUs(command);
      if (due === undefined || due > atUs) continue;
      if (!isUntouched(command) && atUs < this.#graceUntilUs) continue;
      const lastReport = this.#reports.get(command.id)?.at(-1);
      this.#advance(command, { kind: "time", atUs, lastReport });
    }
    for (const { tenant, device } of this.#queues.due(clock.nowMs())) this.#pump(tenant, device);
  }

  #expectOpen(): void {
    if (this.#isClosed) throw notHere();
  }
}

/** Somebody who waits for that state has waited enough; unspecified: for whatever comes next. */
function isAwaited(command: wire.Command, until: wire.State): boolean {
  return until === State.UNSPECIFIED || isTerminal(command) || stateOf(command) >= until;
}

/** What is told does not change any more. */
function snapshotOf(command: wire.Command): wire.Command {
  return { ...command, steps: [...command.steps] };
}

function notHere(): AppError {
  return new AppError("request.no_responder", "the partition has another owner, or is being read");
}
