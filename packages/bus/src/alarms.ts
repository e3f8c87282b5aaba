/** What programs ask of alarms: over all partitions, each by its owner. */
import { enumNames, partitionOf, subjects, rule as wire } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { Bus } from "./api.js";

const states = enumNames(wire.AlarmState);
const severities = enumNames(wire.Severity);

const ANSWER_WITHIN_MS = 10_000;

/** Where an alarm is in its life. */
export type AlarmState = (typeof states.names)[number];

/** How urgent an alarm is. */
export type AlarmSeverity = (typeof severities.names)[number];

/** What `isAlarmState` is true for. */
export const ALARM_STATES: readonly AlarmState[] = states.names;

/** From least to most urgent. */
export const ALARM_SEVERITIES: readonly AlarmSeverity[] = severities.names;

/** An alarm as programs see it. */
export interface AlarmRecord {
  readonly id: string;
  /** Empty: the default one. */
  readonly tenant: string;
  readonly device: string;
  /** Alarms of a device with the same key are one alarm until it is cleared. */
  readonly key: string;
  readonly rule: string;
  readonly severity: AlarmSeverity;
  readonly state: AlarmState;
  readonly message: string;
  readonly raisedAtMs: number;
  /** 0: it was not. */
  readonly acknowledgedAtMs: number;
  readonly acknowledgedBy: string;
  readonly note: string;
  /** 0: it was not. */
  readonly clearedAtMs: number;
  /** Empty: by its rule. */
  readonly clearedBy: string;
  /** How often it was raised. */
  readonly count: number;
  readonly values: Readonly<Record<string, number | boolean | string>>;
}

/** Which alarms; all that is given must hold. */
export interface AlarmFilter {
  readonly tenant: string;
  readonly device?: string | undefined;
  readonly rule?: string | undefined;
  readonly states?: readonly AlarmState[] | undefined;
  /** This severity and those that are more urgent. */
  readonly leastSeverity?: AlarmSeverity | undefined;
  readonly limit: number;
  /** Those behind this one in the list. */
  readonly after?: Pick<AlarmRecord, "id" | "raisedAtMs"> | undefined;
}

/** One per program. All of it throws AppError `bus.disconnected`, `request.timeout`, `request.no_responder` besides what is said. */
export class AlarmClient {
  constructor(
    private readonly bus: Bus,
    private readonly partitions: number,
  ) {}

  /** A page over all partitions, the newest first. */
  async list(
    filter: AlarmFilter,
  ): Promise<{ readonly alarms: readonly AlarmRecord[]; readonly more: boolean }> {
    const { tenant, device = "", rule = "", limit, after } = filter;
    const value: wire.ListAlarms = {
      tenant,
      device,
      rule,
      states: (filter.states ?? []).map((state) => states.toWire(state)),
      leastSeverity:
        filter.leastSeverity === undefined
          ? wire.Severity.UNSPECIFIED
          : severities.toWire(filter.leastSeverity),
      beforeMs: after?.raisedAtMs ?? 0,
      beforeId: after?.id ?? "",
      limit,
      id: "",
    };
    const asked = device === "" ? allOf(this.partitions) : [partitionOf(tenant, device, this.partitions)];
    const answers = await Promise.all(
      asked.map((partition) => this.#ask(partition, { $case: "list", value })),
    );
    const pages = answers.map((answer) => wire.AlarmList.decode(answer));
    const all = pages
      .flatMap(({ alarms }) => alarms)
      .sort((a, b) => b.raisedAtMs - a.raisedAtMs || (a.id < b.id ? 1 : -1));
    const more = all.length > limit || pages.some((page) => page.more);
    return { alarms: all.slice(0, limit).map(fromWire), more };
  }

  /** @throws AppError `alarm.unknown` */
  async get(tenant: string, id: string): Promise<AlarmRecord> {
    const value = { ...EVERY, tenant, id, limit: 1 };
    const answer = await this.#ask(this.#partitionOf(id), { $case: "list", value });
    const [alarm] = wire.AlarmList.decode(answer).alarms;
    if (alarm === undefined) throw unknown(id);
    return fromWire(alarm);
  }

  /**
   * Says that somebody has seen it, or that it is over; resolves when that is stored.
   * @throws AppError `alarm.unknown`, `alarm.over` for one that was cleared
   */
  async change(
    tenant: string,
    id: string,
    state: "acknowledged" | "cleared",
    by: { readonly who: string; readonly note?: string | undefined },
  ): Promise<AlarmRecord> {
    const { who, note = "" } = by;
    const value = { tenant, id, state: states.toWire(state), who, note };
    const answer = await this.#ask(this.#partitionOf(id), { $case: "change", value });
    return fromWire(wire.Alarm.decode(answer));
  }

  #partitionOf(id: string): number {
    const partition = /^(\d{1,6})-\d+-\d+$/.exec(id)?.[1];
    if (partition === undefined || Number(partition) >= this.partitions) throw unknown(id);
    return Number(partition);
  }

  #ask(partition: number, request: wire.Request["request"]): Promise<Uint8Array> {
    const data = wire.Request.encode({ partition, request }).finish();
    return this.bus.request(subjects.ruleRequest(partition), data, ANSWER_WITHIN_MS);
  }
}

const EVERY: wire.ListAlarms = {
  tenant: "",
  device: "",
  rule: "",
  states: [],
  leastSeverity: wire.Severity.UNSPECIFIED,
  beforeMs: 0,
  beforeId: "",
  limit: 0,
  id: "",
};

function allOf(partitions: number): readonly number[] {
  return Array.from({ length: partitions }, (_, partition) => partition);
}

function unknown(id: string): AppError {
  return new AppError("alarm.unknown", `there is no alarm ${id}`);
}

/** An alarm as JSON, as the HTTP API and the command line show it. */
export function alarmJson(alarm: AlarmRecord): object {
  const { tenant, raisedAtMs, acknowledgedAtMs, clearedAtMs, acknowledgedBy, clearedBy, note, ...rest } =
    alarm;
  return {
    ...rest,
    ...(tenant !== "" && { tenant }),
    raisedAt: isoOf(raisedAtMs),
    ...(acknowledgedAtMs > 0 && { acknowledgedAt: isoOf(acknowledgedAtMs), acknowledgedBy }),
    ...(clearedAtMs > 0 && { clearedAt: isoOf(clearedAtMs), ...(clearedBy !== "" && { clearedBy }) }),
    ...(note !== "" && { note }),
  };
}

function isoOf(ms: number): string {
  return new Date(ms).toISOString();
}

function fromWire(alarm: wire.Alarm): AlarmRecord {
  const { updatedAtMs: _, severity, state, values, ...rest } = alarm;
  return {
    ...rest,
    severity: severities.fromWire(severity) ?? "info",
    state: states.fromWire(state) ?? "raised",
    values: Object.fromEntries(
      values.flatMap(({ name, value }) => {
        const own = value?.value?.value;
        return own === undefined ? [] : [[name, own] as const];
      }),
    ),
  };
}
