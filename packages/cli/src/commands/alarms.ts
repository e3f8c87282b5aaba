/** `myelin alarms`: what rules have raised. */
import {
  ALARM_SEVERITIES,
  ALARM_STATES,
  AlarmClient,
  type AlarmFilter,
  type AlarmRecord,
  alarmJson,
  deploymentPartitions,
  MAX_WATCHED_ALARMS,
  watchAlarms,
} from "@myelin/bus";
import { AppError, systemClock } from "@myelin/kernel";
import type { ReachOptions } from "../box/connection.js";
import { EXIT, endWithReader, note, print, printable, printJson } from "../output.js";
import { withBus } from "./client.js";
import { needed, table } from "./operator-lists.js";

export interface AlarmsOptions extends ReachOptions {
  readonly json: boolean;
  readonly tenant: string;
  readonly device?: string;
  readonly rule?: string;
  readonly severity?: string;
  readonly state: readonly string[];
  readonly note?: string;
  readonly limit: number;
  readonly count?: number;
}

const WHO = "cli";

/** @throws AppError `alarm.*`, `config.invalid`, `request.*`, `bus.*` */
export async function alarms(
  action: string,
  id: string | undefined,
  options: AlarmsOptions,
): Promise<number> {
  const filter = filterOf(options);
  const named = (): string => needed(id, `myelin alarms ${action} needs the id of an alarm`);
  return withBus(options, async (bus) => {
    const client = new AlarmClient(bus, await deploymentPartitions(bus));
    const { tenant, json } = options;
    const by = { who: WHO, note: options.note };
    switch (action) {
      case "get":
        show(await client.get(tenant, named()), json);
        return EXIT.ok;
      case "ack":
        show(await client.change(tenant, named(), "acknowledged", by), json);
        return EXIT.ok;
      case "clear":
        show(await client.change(tenant, named(), "cleared", by), json);
        return EXIT.ok;
      case "watch":
        return await watch(client, filter, options);
      default:
        return await showList(client, filter, json);
    }
  });
}

function filterOf({ tenant, device, rule, severity, state, limit }: AlarmsOptions): AlarmFilter {
  const states = state.map((word) => oneOf("--state", ALARM_STATES, word));
  const leastSeverity = severity === undefined ? undefined : oneOf("--severity", ALARM_SEVERITIES, severity);
  return { tenant, device, rule, states, leastSeverity, limit };
}

function oneOf<Word extends string>(option: string, words: readonly Word[], word: string): Word {
  const found = words.find((one) => one === word);
  if (found !== undefined) return found;
  throw new AppError("config.invalid", `${option} takes one of ${words.join(", ")}, not "${word}".`);
}

async function showList(client: AlarmClient, filter: AlarmFilter, json: boolean): Promise<number> {
  const { alarms: found, more } = await client.list(filter);
  if (json) {
    printJson({ alarms: found.map(alarmJson), more });
    return EXIT.ok;
  }
  table(
    ["alarm", "raised", "device", "rule", "severity", "state", "times", "message"],
    found.map((alarm) => [
      alarm.id,
      timeOf(alarm.raisedAtMs),
      alarm.device,
      alarm.rule,
      alarm.severity,
      alarm.state,
      alarm.count,
      alarm.message,
    ]),
    "no alarms",
  );
  if (more) note("There are more: say which, or a higher --limit.");
  return EXIT.ok;
}

/** A line for each alarm that stands, and for each change of one, until Ctrl-C or a count. */
async function watch(
  client: AlarmClient,
  filter: AlarmFilter,
  { json, count = Number.POSITIVE_INFINITY }: AlarmsOptions,
): Promise<number> {
  endWithReader();
  const onCut = (): void =>
    note(`More than ${MAX_WATCHED_ALARMS} alarms stand: the newest of them are followed.`);
  let lines = 0;
  for await (const alarm of watchAlarms({ client, filter, clock: systemClock, onCut })) {
    if (json) printJson(alarmJson(alarm));
    else print(printable(lineOf(alarm)));
    if (++lines >= count) break;
  }
  return EXIT.ok;
}

function lineOf(alarm: AlarmRecord): string {
  const { id, device, rule, severity, state, message, count } = alarm;
  const atMs = { raised: alarm.raisedAtMs, acknowledged: alarm.acknowledgedAtMs, cleared: alarm.clearedAtMs };
  const times = count > 1 ? ` (${count} times)` : "";
  return `${timeOf(atMs[state])} ${id} ${device} ${rule} ${severity} ${state}${times}: ${message}`;
}

function show(alarm: AlarmRecord, json: boolean): void {
  if (json) {
    printJson(alarmJson(alarm));
    return;
  }
  const { acknowledgedAtMs, acknowledgedBy, clearedAtMs, clearedBy, values } = alarm;
  print(printable(lineOf(alarm)));
  print(`  raised ${timeOf(alarm.raisedAtMs)}`);
  if (acknowledgedAtMs > 0)
    print(printable(`  acknowledged ${timeOf(acknowledgedAtMs)} by ${acknowledgedBy}`));
  if (clearedAtMs > 0)
    print(printable(`  cleared ${timeOf(clearedAtMs)} by ${clearedBy === "" ? "its rule" : clearedBy}`));
  if (alarm.note !== "") print(printable(`  note ${alarm.note}`));
  if (Object.keys(values).length > 0) print(printable(`  values ${JSON.stringify(values)}`));
}

function timeOf(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
