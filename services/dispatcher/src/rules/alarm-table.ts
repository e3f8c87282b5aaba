/** The alarms of one partition: raised, acknowledged, cleared. */
import { rule as wire } from "@myelin/contract";
import { AppError } from "@myelin/kernel";

/** Alarms that are over are forgotten after this, */
const KEEP_MS = 30 * 24 * 3_600_000;
/** or when there are more than this. */
const MAX_CLEARED = 10_000;
/** Alarms that stand. A device has one per key, so there are not more without very many devices. */
const MAX_OPEN = 100_000;
const MAX_TEXT = 512;

const { RAISED, ACKNOWLEDGED, CLEARED } = wire.AlarmState;

/** Told of every change: the alarm as it is now, or the id of one that is forgotten. */
export type AlarmChanged = (record: wire.JournalRecord["record"]) => void;

/** What an alarm is raised with. */
export type NewAlarm = Pick<
  wire.Alarm,
  "tenant" | "device" | "key" | "rule" | "severity" | "message" | "values" | "raisedAtMs"
>;

/** Alarms by id, and those that stand by device and key. */
export class AlarmTable {
  /** Not raised, because too many stand. */
  refused = 0;
  readonly #alarms = new Map<string, wire.Alarm>();
  readonly #open = new Map<string, wire.Alarm>();
  #cleared = 0;

  constructor(
    private readonly newId: () => string,
    private readonly onChange: AlarmChanged,
  ) {}

  get open(): number {
    return this.#open.size;
  }

  /** Everything there is, for a snapshot and for lists; oldest first. */
  all(): Iterable<wire.Alarm> {
    return this.#alarms.values();
  }

  /** Takes what the journal says. */
  load(alarm: wire.Alarm): void {
    const known = this.#alarms.get(alarm.id);
    if (known !== undefined && known.state === CLEARED) this.#cleared--;
    this.#alarms.set(alarm.id, alarm);
    if (alarm.state === CLEARED) {
      this.#cleared++;
      if (this.#open.get(openKey(alarm))?.id === alarm.id) this.#open.delete(openKey(alarm));
    } else this.#open.set(openKey(alarm), alarm);
  }

  /** Takes what the journal says. */
  forget(id: string): void {
    const known = this.#alarms.get(id);
    if (known === undefined) return;
    this.#alarms.delete(id);
    if (known.state === CLEARED) this.#cleared--;
    else this.#open.delete(openKey(known));
  }

  /** One alarm per device and key: while it stands it is counted once more, and becomes as severe as the new one if that is more. */
  raise(alarm: NewAlarm): void {
    const known = this.#open.get(openKey(alarm));
    const { raisedAtMs, severity, message, values, rule } = alarm;
    if (known !== undefined) {
      this.#put({
        ...known,
        rule,
        message: message.slice(0, MAX_TEXT),
        values,
        severity: Math.max(known.severity, severity) as wire.Severity,
        count: known.count + 1,
        updatedAtMs: raisedAtMs,
      });
      return;
    }
    if (this.#open.size >= MAX_OPEN) {
      this.refused++;
      return;
    }
    this.#put({
      ...alarm,
      message: message.slice(0, MAX_TEXT),
      id: this.newId(),
      state: RAISED,
      acknowledgedAtMs: 0,
      acknowledgedBy: "",
      note: "",
      clearedAtMs: 0,
      clearedBy: "",
      count: 1,
      updatedAtMs: raisedAtMs,
    });
  }

  /** What a rule has raised for a device is over. */
  clearOf(rule: string, tenant: string, device: string, atMs: number): void {
    for (const alarm of this.#open.values())
      if (alarm.rule === rule && alarm.tenant === tenant && alarm.device === device)
        this.#put({ ...alarm, state: CLEARED, clearedAtMs: atMs, updatedAtMs: atMs });
  }

  /** @throws AppError `alarm.unknown`, `alarm.over` */
  change({ tenant, id, state, who, note }: wire.ChangeAlarm, atMs: number): wire.Alarm {
    const known = this.#alarms.get(id);
    if (known === undefined || known.tenant !== tenant)
      throw new AppError("alarm.unknown", `there is no alarm ${id}`);
    if (state !== ACKNOWLEDGED && state !== CLEARED)
      throw new AppError("internal.invalid_argument", "an alarm is acknowledged or cleared");
    if (known.state === state) return known;
    if (known.state === CLEARED) throw new AppError("alarm.over", `the alarm ${id} was cleared before`);
    const said = { state, updatedAtMs: atMs, ...(note !== "" && { note: note.slice(0, MAX_TEXT) }) };
    const next =
      state === ACKNOWLEDGED
        ? { ...known, ...said, acknowledgedAtMs: atMs, acknowledgedBy: who }
        : { ...known, ...said, clearedAtMs: atMs, clearedBy: who };
    this.#put(next);
    return next;
  }

  /** The newest first. */
  list(wanted: wire.ListAlarms): wire.AlarmList {
    const { tenant, device, states, leastSeverity, rule, beforeMs, beforeId, id } = wanted;
    const found = [...this.#alarms.values()].filter(
      (one) =>
        one.tenant === tenant &&
        (id === "" || one.id === id) &&
        (device === "" || one.device === device) &&
        (rule === "" || one.rule === rule) &&
        (states.length === 0 || states.includes(one.state)) &&
        one.severity >= leastSeverity &&
        (beforeId === "" || isBehind(one, beforeMs, beforeId)),
    );
    found.sort(newestFirst);
    return { alarms: found.slice(0, wanted.limit), more: found.length > wanted.limit };
  }

  /** Forgets what is over for long, and the oldest of what is too much. */
  sweep(nowMs: number): void {
    let tooMany = this.#cleared - MAX_CLEARED;
    for (const { id, state, updatedAtMs } of [...this.#alarms.values()]) {
      if (state !== CLEARED || (tooMany <= 0 && nowMs - updatedAtMs < KEEP_MS)) continue;
      tooMany--;
      this.forget(id);
      this.onChange({ $case: "forgotten", value: id });
    }
  }

  #put(alarm: wire.Alarm): void {
    this.load(alarm);
    this.onChange({ $case: "alarm", value: alarm });
  }
}

/** By when it was raised, then by id. */
export function newestFirst(a: wire.Alarm, b: wire.Alarm): number {
  return b.raisedAtMs - a.raisedAtMs || (a.id < b.id ? 1 : -1);
}

function isBehind(alarm: wire.Alarm, beforeMs: number, beforeId: string): boolean {
  return alarm.raisedAtMs < beforeMs || (alarm.raisedAtMs === beforeMs && alarm.id < beforeId);
}

function openKey({ tenant, device, key }: Pick<wire.Alarm, "tenant" | "device" | "key">): string {
  return `${tenant}\0${device}\0${key}`;
}
