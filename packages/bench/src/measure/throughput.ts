/** One throughput run: load, warm-up, a steady window, drain; seen from the consuming end. */
import { setTimeout as delay } from "node:timers/promises";
import type { Driver, DriverOptions, DriverRole } from "../driver/driver.js";
import type { ControlReport } from "../process/controlled.js";
import type { ConsumeOptions, Consumer, Running } from "../systems/system.js";
import { type ReadingOptions, startConsumer } from "./consume.js";
import { numberIn, rateBetween, secondsBetween } from "./reports.js";
import { type Figures, significant } from "./stats.js";
import { coresBetween, readCpu, readMemory } from "./usage.js";

/**
 * `load` starts with fields of the driver's role. Without `consume` and `subscribers` only the sending side is measured;
 * `subscribers` are the driver's over MQTT, also where the system has an app of its own.
 */
export interface ThroughputOptions {
  readonly driver: Driver;
  readonly running: Running;
  readonly role: Extract<DriverRole, "publish" | "http">;
  readonly load: DriverOptions;
  readonly consume?: ConsumeOptions & ReadingOptions;
  readonly subscribers?: Subscribers;
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

/** Options of the driver's role, without the port; each message is to come `copies` times over all of them. */
export interface Subscribers {
  readonly options: DriverOptions;
  readonly copies: number;
}

const DRAIN_MS = 60_000;
const QUIET_MS = 2_000;
const LOOK_EVERY_MS = 20;

/**
 * Figures: `messages_per_second` at the consumer (at the sender where there is none), `sent_per_second` (messages handed
 * to the system), `accepted_per_second` (acknowledged by it, where it acknowledges), `cpu_us_per_message` of the system,
 * `lost` and `lost_percent` of what was accepted (or sent, where nothing is acknowledged), or `undelivered` where the
 * system was still working through its backlog at the deadline, `rss_mb`, and `driver_cores`, what the load driver used.
 * `…_whole_run` counts from the first message sent to the last one received: a system that takes in first and delivers
 * afterwards shows its speed there, one that pushes back shows the same in both.
 */
export async function measureThroughput(options: ThroughputOptions): Promise<Figures> {
  const { driver, running, role, load } = options;
  await using consumer = await startConsuming(options);
  const copies = options.subscribers?.copies ?? 1;
  const idle = readCpu(running);
  await using sender = await driver.start(role, load);
  const started = await sender.snapshot();
  await delay(options.warmUpSeconds * 1000);
  const from = await look(sender, consumer, running);
  await delay(options.seconds * 1000);
  const to = await look(sender, consumer, running);
  const memory = readMemory(running);
  const sent = await sender.stop();
  const drained = consumer && (await drain(consumer, copies * numberIn(sent, "sent")));
  const accepted = acceptedField(role, load);
  const rate = consumer
    ? rateBetween(from.received as ControlReport, to.received as ControlReport, "received")
    : rateBetween(from.sent, to.sent, accepted ?? "sent");
  const figures: Record<string, number> = {
    messages_per_second: Math.round(rate),
    sent_per_second: Math.round(rateBetween(from.sent, to.sent, "sent")),
    cpu_us_per_message: significant((coresBetween(from.cpu, to.cpu) / rate) * 1e6),
    system_cores: significant(coresBetween(from.cpu, to.cpu), 3),
    driver_cores: significant(driverCores(from, to), 3),
    rss_mb: significant(memory.rssBytes / 1e6),
    pss_mb: significant(memory.pssBytes / 1e6),
  };
  if (accepted !== undefined) {
    figures.accepted_per_second = Math.round(rateBetween(from.sent, to.sent, accepted));
    figures.refused = numberIn(sent, "sent") - numberIn(sent, accepted);
  }
  if (drained !== undefined) {
    const promised = copies * numberIn(sent, accepted ?? "sent");
    const missing = Math.max(0, promised - drained.received);
    if (drained.complete) {
      figures.lost = missing;
      figures.lost_percent = significant((100 * missing) / Math.max(1, promised), 3);
    } else {
      figures.undelivered = missing;
    }
    const most = drained.last.most;
    if (options.subscribers !== undefined && typeof most === "number") {
      figures.least_per_subscriber = numberIn(drained.last, "least");
      figures.most_per_subscriber = most;
    }
    figures.doubled = Math.max(0, drained.received - promised);
    const seconds = secondsBetween(started, drained.last) + numberIn(started, "seconds");
    figures.messages_per_second_whole_run = Math.round(drained.received / seconds);
    const cpuSeconds = readCpu(running).seconds - idle.seconds;
    figures.cpu_us_per_message_whole_run = significant((cpuSeconds / drained.received) * 1e6);
  }
  return figures;
}

async function startConsuming(options: ThroughputOptions): Promise<Consumer | undefined> {
  const { driver, running, consume, subscribers } = options;
  if (subscribers === undefined) return consume && startConsumer(driver, running, consume);
  return driver.start("subscribe", { port: running.mqttPort, client: "sub-", ...subscribers.options });
}

interface Look {
  readonly sent: ControlReport;
  readonly received: ControlReport | undefined;
  readonly cpu: ReturnType<typeof readCpu>;
}

async function look(sender: Consumer, consumer: Consumer | undefined, running: Running): Promise<Look> {
  const cpu = readCpu(running);
  const [sent, received] = await Promise.all([sender.snapshot(), consumer?.snapshot()]);
  return { sent, received, cpu };
}

/** The consuming app of a system is not the driver, so only the driver's own subscriber reports its CPU here. */
function driverCores(from: Look, to: Look): number {
  const sending = rateBetween(from.sent, to.sent, "cpu_seconds");
  if (from.received?.role !== "subscribe" || to.received === undefined) return sending;
  return sending + rateBetween(from.received, to.received, "cpu_seconds");
}

function acceptedField(role: string, load: DriverOptions): string | undefined {
  if (role === "http") return "readings";
  return load.qos === undefined || load.qos === 0 ? undefined : "acked";
}

/** Waits until all has come or nothing more comes; not `complete` when messages still came at the deadline. */
async function drain(
  consumer: Consumer,
  expected: number,
): Promise<{ readonly received: number; readonly complete: boolean; readonly last: ControlReport }> {
  const end = performance.now() + DRAIN_MS;
  // The report with which the last message was first seen: it says when that was.
  let last = await consumer.snapshot();
  for (let quietSince = performance.now(); ; ) {
    const newest = await consumer.snapshot();
    const received = numberIn(newest, "received");
    const now = performance.now();
    if (received !== numberIn(last, "received")) {
      quietSince = now;
      last = newest;
    }
    const complete = received >= expected || now - quietSince > QUIET_MS;
    if (complete || now > end) return { received, complete, last };
    await delay(LOOK_EVERY_MS);
  }
}
