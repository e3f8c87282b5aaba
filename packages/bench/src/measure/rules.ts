/** What rules do to a box: how many conditions it looks at, and what a rule costs that has nothing to do. */
import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "@myelin/kernel";
import { waitFor } from "@myelin/testkit";
import type { Driver } from "../driver/driver.js";
import type { Operable, Running } from "../systems/system.js";
import { registerDevices } from "./devices.js";
import { numberIn, secondsBetween } from "./reports.js";
import { type Figures, median, significant } from "./stats.js";
import { coresBetween, readCpu } from "./usage.js";

export interface RulesOptions {
  readonly driver: Driver;
  readonly running: Running;
  readonly operable: Operable;
  readonly httpPort: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

const IN_FORCE_MS = 30_000;
/** Metrics are looked up over HTTP, so that a moment passes until an edit is known to be in force. */
const LOOK_EVERY_MS = 20;
const EVALUATIONS = "myelin_dispatcher_rule_evaluations_total";
const RULES = "myelin_dispatcher_rules";

const PROFILES = 100;
const RULES_PER_PROFILE = 10;

/** Profile `p<n>` of `PROFILES`: what the driver sends, as two points. */
function profile(number: number): string {
  return `apiVersion: myelin.dev/v1alpha1
kind: DeviceProfile
metadata: { name: p${number} }
spec:
  payloads: [{ topics: ["bench/+/data"], format: json }]
  points: { t: { from: { field: t } }, h: { from: { field: h } } }
`;
}

/** Rules as people write them, none of which ever holds: thresholds, windows, a second point, a time that it must hold. */
function rule(number: number): string {
  const point = Math.floor(number / PROFILES) % 2 === 0 ? "t" : "h";
  const spec = [
    `when: "${point} > ${80 + (number % 7)}"`,
    `when: "${point} > ${80 + (number % 7)} && h > 90.0"\n  for: 30s`,
    `values: { mean: { average: { point: ${point}, over: 5m } } }\n  when: "mean > 80.0 && ${point} > 85.5"`,
    `when: "${point} > 90"\n  clear: { when: "${point} < 85", for: 1m }`,
    `values: { climb: { rate: { point: ${point}, over: 1m } } }\n  when: "climb > 2.5 || climb < -2.5"`,
  ][number % 5]!;
  return `apiVersion: myelin.dev/v1alpha1
kind: Rule
metadata: { name: r${number} }
spec:
  profiles: [p${number % PROFILES}]
  trigger: { points: [${point}] }
  ${spec}
`;
}

const manifest = (documents: readonly string[]): string => documents.join("---\n");

async function inForce({ operable }: RulesOptions, rules: number): Promise<void> {
  const isSo = async (): Promise<boolean> => (await operable.metric(RULES)) === rules;
  await waitFor(isSo, {
    what: `${rules} rules in force`,
    deadlineMs: IN_FORCE_MS,
    everyMs: LOOK_EVERY_MS,
  });
}

/**
 * 1,000 rules, ten for each of 100 profiles, over devices with a connection each that send on a schedule. Figures: `evaluations_per_second`,
 * `sent_per_second`, `system_cores`, and `cpu_us_per_evaluation` over all processes of the system, of which most is the message's own way.
 */
export async function measureEvaluations(
  options: RulesOptions & { readonly devices: number; readonly ratePerSecond: number },
): Promise<Figures> {
  const { driver, running, operable, httpPort, devices, ratePerSecond } = options;
  const count = PROFILES * RULES_PER_PROFILE;
  await operable.putResources(
    manifest([
      ...Array.from({ length: PROFILES }, (_, i) => profile(i)),
      ...Array.from({ length: count }, (_, i) => rule(i)),
    ]),
  );
  await inForce(options, count);
  await registerDevices(
    httpPort,
    devicesOf(devices, (i) => `p${i % PROFILES}`),
  );
  await using sender = await driver.start("publish", {
    port: running.mqttPort,
    connections: devices,
    topic: "bench/{c}/data",
    qos: 0,
    rate: ratePerSecond,
  });
  await waitFor(async () => (await operable.metric(EVALUATIONS)) > 0, {
    what: "the first evaluation",
    deadlineMs: IN_FORCE_MS,
  });
  await delay(options.warmUpSeconds * 1000);
  const [from, evaluationsBefore, cpuBefore] = [
    await sender.snapshot(),
    await operable.metric(EVALUATIONS),
    readCpu(running),
  ];
  await delay(options.seconds * 1000);
  const [to, evaluationsAfter, cpuAfter] = [
    await sender.snapshot(),
    await operable.metric(EVALUATIONS),
    readCpu(running),
  ];
  await sender.stop();
  const perSecond = (evaluationsAfter - evaluationsBefore) / secondsBetween(from, to);
  const cores = coresBetween(cpuBefore, cpuAfter);
  return {
    evaluations_per_second: significant(perSecond),
    sent_per_second: significant((numberIn(to, "sent") - numberIn(from, "sent")) / secondsBetween(from, to)),
    cpu_us_per_evaluation: significant((cores / perSecond) * 1e6),
    system_cores: significant(cores, 3),
  };
}

/** Looks at what nobody sends. */
const ELSEWHERE = `apiVersion: myelin.dev/v1alpha1
kind: Rule
metadata: { name: elsewhere }
spec:
  profiles: [p0]
  trigger: { points: [t] }
  when: "t > 80"
`;

/** Many short ones meet what else the machine does alike. */
const PAIRS = 20;
const MAX_WINDOW_MS = 1_500;
/** After an edit every channel finds its way anew. */
const SETTLE_MS = 500;

/**
 * Telemetry to an app as fast as it goes, in one run of one box, by turns without a rule and with one that matches nothing of it. Figures:
 * `rate_with_idle_rule`, the rate with as a share of that without, and `cpu_with_idle_rule`, the same of the processor time per message: medians over pairs of neighbours.
 */
export async function measureIdleRule(
  options: RulesOptions & { readonly connections: number },
): Promise<Figures> {
  const { driver, running, operable, httpPort, connections } = options;
  if (running.consume === undefined) throw new AppError("internal.unreachable", "a box has an app");
  await operable.putResources(profile(0));
  // With a profile in force each message's device is looked up, rule or not; that is not what is measured here.
  await registerDevices(
    httpPort,
    devicesOf(1, () => "p0", "other-"),
  );
  await inForce(options, 0);
  await using app = await running.consume({ lane: "telemetry", mode: "batch", stamp: false });
  await using sender = await driver.start("publish", {
    port: running.mqttPort,
    connections,
    topic: "bench/{c}/data",
    qos: 0,
  });
  await delay(options.warmUpSeconds * 1000);
  const windowMs = Math.min(MAX_WINDOW_MS, options.seconds * 1000);
  const look = async () => ({ report: await app.snapshot(), cpu: readCpu(running) });
  const measure = async (withRule: boolean): Promise<{ rate: number; cpu: number }> => {
    await operable.putResources(withRule ? manifest([profile(0), ELSEWHERE]) : profile(0));
    await inForce(options, withRule ? 1 : 0);
    await delay(SETTLE_MS);
    const from = await look();
    await delay(windowMs);
    const to = await look();
    const received = numberIn(to.report, "received") - numberIn(from.report, "received");
    const rate = received / secondsBetween(from.report, to.report);
    return { rate, cpu: coresBetween(from.cpu, to.cpu) / rate };
  };
  const rates: number[] = [];
  const ratesWithout: number[] = [];
  const cpus: number[] = [];
  for (let pair = 0; pair < PAIRS; pair++) {
    // Each order as often as the other, so that what drifts meets both.
    const first = await measure(pair % 2 === 0);
    const second = await measure(pair % 2 !== 0);
    const [having, without] = pair % 2 === 0 ? [first, second] : [second, first];
    rates.push(having.rate / without.rate);
    cpus.push(having.cpu / without.cpu);
    ratesWithout.push(without.rate);
  }
  await sender.stop();
  return {
    messages_per_second: Math.round(median(ratesWithout) as number),
    rate_with_idle_rule: significant(median(rates) as number),
    cpu_with_idle_rule: significant(median(cpus) as number),
  };
}

/** Named as the driver names its clients, unless told otherwise. */
function* devicesOf(count: number, profileOf: (i: number) => string, prefix = "bench-") {
  for (let i = 0; i < count; i++)
    yield { id: `${prefix}${String(i).padStart(6, "0")}`, profile: profileOf(i) };
}
