/** `myelin rules backtest`: when a rule would have fired, next to the alarms that it did raise. */
import { AlarmClient, type Bus, DeviceRegistryClient, deploymentPartitions } from "@myelin/bus";
import type { RuleSpec } from "@myelin/config";
import { AppError, systemClock } from "@myelin/kernel";
import { HistoryClient, parseTimeUs } from "@myelin/listener/history";
import { Rule } from "@myelin/rules";
import type { ReachOptions } from "../box/connection.js";
import { EXIT, endWithReader, note, print, printable, printJson } from "../output.js";
import { readInput } from "../resources/input.js";
import { ahead } from "../rule-cases/ahead.js";
import { assertBacktests, Backtest, onlyPointOf, type WouldFire } from "../rule-cases/backtest.js";
import { withBus } from "./client.js";

export interface BacktestOptions extends ReachOptions {
  readonly json: boolean;
  readonly rule?: string;
  readonly sink?: string;
  readonly tenant: string;
  readonly device: readonly string[];
  readonly from?: string;
  readonly to?: string;
}

interface Subject {
  readonly tenant: string;
  readonly device: string;
  readonly profile: string;
}

const DEVICES_AT_ONCE = 1_000;
const TELL_EVERY_MS = 2_000;
/** Alarms that are looked up for each device. */
const MAX_ALARMS = 500;

/** @throws AppError `config.*`, `rule.invalid`, `history.*`, `store.*`, `device.*`, `request.*`, `bus.*` */
export async function backtestRule(files: readonly string[], options: BacktestOptions): Promise<number> {
  const [file, ...rest] = files;
  if (file === undefined || rest.length > 0)
    throw new AppError("config.invalid", "myelin rules backtest takes the resource file of one rule");
  const rule = await ruleOf(file, options.rule);
  assertBacktests(rule);
  const nowUs = systemClock.wallUs();
  const fromUs = timeOf(options, "from", nowUs, 0);
  const toUs = timeOf(options, "to", nowUs, nowUs);
  if (fromUs >= toUs) throw new AppError("config.invalid", "--from takes a time before --to");
  endWithReader();
  return withBus(options, async (bus) => {
    const { json, sink } = options;
    const partitions = await deploymentPartitions(bus);
    const client = new HistoryClient(bus);
    const alarms = new AlarmClient(bus, partitions);
    const progress = new Progress();
    const totals = { devices: 0, readings: 0, firings: 0, alarms: 0 };
    const question = { $case: "range", value: { newestFirst: false } } as const;
    const point = onlyPointOf(rule);
    const asked = async function* () {
      for await (const subject of subjectsOf(bus, partitions, rule, options)) {
        const { tenant, device } = subject;
        const pages = ahead(client.pages({ sink, tenant, device, point, fromUs, toUs, question }));
        const first = pages.next();
        const raised = alarms.list({ tenant, device, rule: rule.name, limit: MAX_ALARMS });
        for (const one of [first, raised]) one.catch(() => undefined);
        yield { subject, pages, first, raised };
      }
    };
    // The next device is asked for while the readings of this one are gone through.
    for await (const { subject, pages, first, raised } of ahead(asked())) {
      const backtest = new Backtest(rule, subject, (firing) => {
        totals.firings++;
        if (json) printJson(jsonOf(firing));
        else print(printable(lineOf(firing)));
      });
      const { device } = subject;
      for (let page = await first; page.done !== true; page = await pages.next()) {
        const { readings } = page.value;
        backtest.take(readings);
        totals.readings += readings.length;
        progress.tell(totals);
      }
      backtest.end(toUs / 1_000);
      totals.devices++;
      const { alarms: found } = await raised;
      for (const { id, raisedAtMs, state } of found.filter(
        (one) => one.raisedAtMs * 1_000 >= fromUs && one.raisedAtMs * 1_000 < toUs,
      )) {
        totals.alarms++;
        if (json) printJson({ device, alarm: id, raisedAt: isoOf(raisedAtMs), state });
        else print(printable(`${isoOf(raisedAtMs)} ${device} alarm ${id} was raised then`));
      }
    }
    if (json) printJson({ rule: rule.name, ...totals });
    else print(`${rule.name}: would have fired ${totals.firings} times, ${totals.alarms} alarms were raised`);
    return EXIT.ok;
  });
}

/** The rule of this file, or that one of its rules. */
async function ruleOf(file: string, wanted: string | undefined): Promise<Rule> {
  const found = (await readInput([file], { recursive: false, stdin: process.stdin })).filter(
    ({ document: { kind, name } }) => kind === "Rule" && (wanted === undefined || name === wanted),
  );
  const [first] = found;
  if (first?.document.resource === undefined || found.length > 1) {
    const names = found.map(({ document }) => document.name).join(", ");
    const what = found.length > 1 ? `several rules, ${names}: --rule says which` : `no rule ${wanted ?? ""}`;
    throw new AppError("config.invalid", `in ${file} there are ${what}`.trimEnd());
  }
  return new Rule(first.document.name, first.document.resource.spec as RuleSpec);
}

/** The devices that are named, or all of the registry that the rule is about. */
async function* subjectsOf(
  bus: Bus,
  partitions: number,
  rule: Rule,
  { tenant, device }: BacktestOptions,
): AsyncGenerator<Subject, void> {
  const registry = new DeviceRegistryClient(bus, partitions);
  // Not every device that has a history is registered; then it has no profile.
  for (const id of device) yield { tenant, device: id, profile: await profileOf(registry, tenant, id) };
  if (device.length > 0) return;
  for (let after = "", more = true; more; ) {
    const page = await registry.list({ tenant, after, limit: DEVICES_AT_ONCE });
    for (const { id, profile } of page.devices)
      if (rule.isAbout(id, profile)) yield { tenant, device: id, profile };
    after = page.devices.at(-1)?.id ?? "";
    more = page.more;
  }
}

async function profileOf(registry: DeviceRegistryClient, tenant: string, id: string): Promise<string> {
  try {
    return (await registry.get(tenant, id)).profile;
  } catch (error) {
    if (AppError.is(error) && error.code === "device.unknown") return "";
    throw error;
  }
}

function timeOf(options: BacktestOptions, name: "from" | "to", nowUs: number, otherwise: number): number {
  const text = options[name];
  const us = text === undefined ? otherwise : parseTimeUs(text, nowUs);
  if (us !== undefined) return us;
  const rule = "takes a time such as 2030-01-31T12:00:00Z or a duration before now such as 1h";
  throw new AppError("config.invalid", `--${name} ${rule}, not "${text}".`);
}

/** A line on standard error now and then. */
class Progress {
  #toldMs = systemClock.wallMs();

  tell({ devices, readings, firings }: Readonly<Record<"devices" | "readings" | "firings", number>>): void {
    const nowMs = systemClock.wallMs();
    if (nowMs - this.#toldMs < TELL_EVERY_MS) return;
    this.#toldMs = nowMs;
    note(`${readings} readings, ${devices} devices done, ${firings} firings …`);
  }
}

function lineOf({ device, atMs, endedMs, values }: WouldFire): string {
  const ended = endedMs === undefined ? "" : `, ended ${isoOf(endedMs)}`;
  return `${isoOf(atMs)} ${device} would have fired${ended}: ${JSON.stringify(values)}`;
}

function jsonOf({ device, atMs, endedMs, values }: WouldFire): object {
  return {
    device,
    firedAt: isoOf(atMs),
    ...(endedMs !== undefined && { endedAt: isoOf(endedMs) }),
    values,
  };
}

function isoOf(ms: number): string {
  return new Date(ms).toISOString();
}
