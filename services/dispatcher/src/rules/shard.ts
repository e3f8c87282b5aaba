/** The rules of one partition: what its devices say goes into the engine, what fires goes into the journal and is done. */
import { rule as wire } from "@myelin/contract";
import { AppError, type Clock, type Timer } from "@myelin/kernel";
import { type Firing, RuleEngine, type SavedDevice } from "@myelin/rules";
import type { FiredRule, RaisedAlarm } from "../actions/action.js";
import type { CoreLog, Ownership } from "../core/ports.js";
import { type JournalPort, JournalWriter } from "../journal/journal.js";
import { AlarmTable } from "./alarm-table.js";
import { type RuleRecord, RuleReplay, type RuleStore, ruleCodec, sizeOfDevice } from "./journal.js";
import type { RuleTable } from "./rule-table.js";
import { fromWireDevice, fromWireValues, toWireDevice, toWireValues } from "./saved.js";

/** What is gathered is written at the latest after this. */
const LAZY_MS = 500;
/** Windows and baselines are written in this rhythm: after a kill they go on from there. */
const CHECKPOINT_MS = 30_000;
/** Firings whose actions are not done; beyond it only what is done at once is. */
const MAX_PENDING = 10_000;
/** Firings that led to each other. */
const MAX_CAUSES = 8;
const SETTLE_MS = 5_000;
const SEVERITIES = {
  info: wire.Severity.INFO,
  warning: wire.Severity.WARNING,
  major: wire.Severity.MAJOR,
  critical: wire.Severity.CRITICAL,
} as const;

export interface RuleShardOptions {
  readonly ownership: Ownership;
  readonly port: JournalPort;
  readonly table: RuleTable;
  readonly clock: Clock;
  readonly log: CoreLog;
  readonly maxDevices: number;
  readonly listNumbersPerSecond: number;
}

/** Lives as long as the lease. */
export class RuleShard {
  /** Firings without place for their actions. */
  crowded = 0;
  readonly engine: RuleEngine;
  readonly alarms: AlarmTable;
  readonly #pending = new Map<number, wire.Firing>();
  readonly #turns = new Map<string, Promise<void>>();
  readonly #ending = new AbortController();
  #journal: JournalWriter<RuleRecord> | undefined;
  #checkpoint: Timer | undefined;
  #number = 0;
  #alarmNumber = 0;
  /** Of the message that is being taken. */
  #causes: readonly string[] = [];
  #hasFired = false;
  #savedBytes = 0;

  constructor(private readonly options: RuleShardOptions) {
    const { maxDevices, listNumbersPerSecond, ownership } = options;
    this.engine = new RuleEngine({
      maxDevices,
      listNumbersPerSecond,
      onFiring: (firing) => this.#fired(firing),
    });
    const { partition, epoch } = ownership;
    this.alarms = new AlarmTable(
      () => `${partition}-${epoch}-${++this.#alarmNumber}`,
      (record) => this.#journal?.add({ record }),
    );
  }

  get pending(): number {
    return this.#pending.size;
  }

  /** Reads what is stored, and makes the journal this owner's alone. */
  async start(signal: AbortSignal): Promise<void> {
    const { port, log, clock, ownership, table } = this.options;
    const replay = new RuleReplay(port, log);
    for (;;) {
      signal.throwIfAborted();
      await replay.readOn(() => signal.aborted);
      const journal = new JournalWriter<RuleRecord>(
        {
          port,
          epoch: ownership.epoch,
          clock,
          log,
          lazyMs: LAZY_MS,
          collect: () => this.#collect(false),
          onFenced: () =>
            this.#ending.abort(new AppError("operation.aborted", "another owner has the rules")),
        },
        ruleCodec,
        replay,
      );
      try {
        await journal.begin();
        this.#journal = journal;
        break;
      } catch (err) {
        if (!AppError.is(err) || err.code !== "bus.conflict") throw err;
      }
    }
    this.engine.setRules([...table.all()].map(({ rule }) => rule));
    this.#load(replay.store);
    this.#checkpoint = clock.setInterval(() => this.#sweep(), CHECKPOINT_MS);
    this.#checkpoint.unref();
  }

  #load({ devices, firings, alarms, lastNumber }: RuleStore): void {
    this.#number = lastNumber;
    for (const alarm of alarms.values()) this.alarms.load(alarm);
    for (const saved of devices.values()) {
      this.#savedBytes += sizeOfDevice(saved);
      this.engine.restore(fromWireDevice(saved));
    }
    // What has fired and was not done with: again, under the same ids.
    for (const firing of firings.values()) this.#begin(firing);
  }

  /** Other rules are in force. */
  rulesChanged(): void {
    this.engine.setRules([...this.options.table.all()].map(({ rule }) => rule));
    this.#journal?.writeSoon();
  }

  /**
   * Takes something that devices say.
   * @param causes rules whose actions have led to it
   * @returns whether a rule has fired, or gone on to another phase: what must be stored before an event is acknowledged
   */
  take(causes: readonly string[], into: (engine: RuleEngine) => void): boolean {
    this.#causes = causes;
    this.#hasFired = false;
    into(this.engine);
    this.#causes = [];
    return this.#hasFired;
  }

  /** Resolves when all that was taken is stored. */
  stored(): Promise<void> {
    return new Promise((resolve, reject) => {
      const journal = this.#journal;
      if (journal === undefined || this.#ending.signal.aborted) {
        reject(new AppError("target.unavailable", "the partition is given up"));
        return;
      }
      const onEnd = (): void => reject(new AppError("target.unavailable", "the partition is given up"));
      this.#ending.signal.addEventListener("abort", onEnd, { once: true });
      journal.whenStored(() => {
        this.#ending.signal.removeEventListener("abort", onEnd);
        resolve();
      });
    });
  }

  /** Time goes on. */
  advance(nowMs: number): void {
    if ((this.engine.nextDueMs ?? Number.POSITIVE_INFINITY) > nowMs) return;
    this.engine.advance(nowMs);
    this.#journal?.writeSoon();
  }

  /** Raises an alarm with a firing. */
  raise(fired: FiredRule, { key, message }: RaisedAlarm): void {
    const { tenant, device, rule, severity, values, atMs } = fired;
    this.alarms.raise({
      tenant,
      device,
      key,
      rule,
      message,
      severity: SEVERITIES[severity],
      values: toWireValues(values),
      raisedAtMs: atMs,
    });
  }

  /** Changes an alarm; resolves when that is stored. @throws AppError `alarm.unknown`, `alarm.over` */
  async change(wanted: wire.ChangeAlarm): Promise<wire.Alarm> {
    const alarm = this.alarms.change(wanted, this.options.clock.wallMs());
    await this.stored();
    return alarm;
  }

  /** The lease ends. */
  async stop(settle: boolean): Promise<void> {
    const { clock } = this.options;
    clock.clear(this.#checkpoint);
    const journal = this.#journal;
    if (settle && journal !== undefined && !this.#ending.signal.aborted) {
      this.#collect(true);
      await Promise.race([
        new Promise<void>((resolve) => journal.whenStored(resolve)),
        clock.sleep(SETTLE_MS, this.#ending.signal).catch(() => undefined),
      ]);
    }
    this.#ending.abort(new AppError("operation.aborted", "the partition is given up"));
    journal?.close();
  }

  #fired(firing: Firing): void {
    this.#hasFired = true;
    const { name } = firing.rule;
    const active = this.options.table.get(name);
    const { tenant, device, state, atMs, values, topic, isReplayed } = firing;
    if (state === "cleared") this.alarms.clearOf(name, tenant, device, atMs);
    // The rule is gone: there is nothing to do but to end its alarms.
    if (active === undefined) return;
    active.counts.firings++;
    if (active.rule.spec.mode === "observe") {
      active.counts.observed++;
      return;
    }
    const causes = [...this.#causes, name];
    if (this.#causes.includes(name) || this.#causes.length >= MAX_CAUSES) {
      active.counts.looped++;
      if (active.loop.length === 0)
        this.options.log.warn({ rule: name, device, causes }, "a rule that leads to itself is stopped");
      active.loop = causes;
      return;
    }
    const record: wire.Firing = {
      number: ++this.#number,
      rule: name,
      tenant,
      device,
      state,
      atMs,
      values: toWireValues(values),
      topic,
      replayed: isReplayed,
      causes,
    };
    active.actions.runImmediate(this.#toFired(record, active.rule.spec));
    if (!active.actions.hasWork(state)) return;
    if (this.#pending.size >= MAX_PENDING) {
      this.crowded++;
      return;
    }
    this.#journal?.add({ record: { $case: "firing", value: record } }, 256);
    this.#begin(record);
  }

  /** Firings of one device wait for each other, so that nobody hears of the end before the beginning. */
  #begin(firing: wire.Firing): void {
    const key = `${firing.tenant}\0${firing.device}\0${firing.rule}`;
    this.#pending.set(firing.number, firing);
    const before = this.#turns.get(key) ?? Promise.resolve();
    const own = before.then(() => this.#act(firing));
    this.#turns.set(key, own);
    void own.then(() => {
      if (this.#turns.get(key) === own) this.#turns.delete(key);
    });
  }

  async #act(firing: wire.Firing): Promise<void> {
    const { signal } = this.#ending;
    const active = this.options.table.get(firing.rule);
    try {
      if (active !== undefined) {
        await this.stored();
        await active.actions.run(this.#toFired(firing, active.rule.spec), signal);
      }
    } catch (err) {
      // The next owner does it.
      if (signal.aborted) return;
      this.options.log.error({ err, rule: firing.rule }, "the actions of a rule ended by a defect");
    }
    this.#pending.delete(firing.number);
    this.#journal?.add({ record: { $case: "settled", value: firing.number } }, 16);
  }

  #toFired(firing: wire.Firing, spec: RuleTableSpec): FiredRule {
    const { number, rule, tenant, device, atMs, topic, replayed, causes, state } = firing;
    return {
      id: `${this.options.ownership.partition}-${number}`,
      rule,
      description: spec.description ?? "",
      severity: spec.severity,
      tenant,
      device,
      state: state as FiredRule["state"],
      atMs,
      values: fromWireValues(firing.values),
      topic,
      isReplayed: replayed,
      causes,
    };
  }

  /** `all`: also what may be lost. */
  #collect(all: boolean): void {
    for (const saved of this.engine.changed(all)) this.#add(saved);
  }

  #add(saved: SavedDevice): void {
    const value = toWireDevice(saved);
    this.#journal?.add({ record: { $case: "device", value } }, sizeOfDevice(value));
  }

  #sweep(): void {
    const journal = this.#journal;
    if (journal === undefined) return;
    this.alarms.sweep(this.options.clock.wallMs());
    if (journal.shouldCompact(this.#savedBytes)) this.#rewrite(journal);
    else this.#collect(true);
  }

  #rewrite(journal: JournalWriter<RuleRecord>): void {
    const records: RuleRecord[] = [];
    this.#savedBytes = 0;
    for (const saved of this.engine.all()) {
      const value = toWireDevice(saved);
      this.#savedBytes += sizeOfDevice(value);
      records.push({ record: { $case: "device", value } });
    }
    for (const value of this.#pending.values()) records.push({ record: { $case: "firing", value } });
    for (const value of this.alarms.all()) records.push({ record: { $case: "alarm", value } });
    records.push({ record: { $case: "settled", value: this.#number } });
    journal.rewrite(records, () => undefined);
  }
}

type RuleTableSpec = NonNullable<ReturnType<RuleTable["get"]>>["rule"]["spec"];
