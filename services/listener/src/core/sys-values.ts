/** What the topics below `$SYS/broker` are called and say; the names are those that monitoring of MQTT brokers asks for. */
import type { sys } from "@myelin/contract";

/** What a listener counts. */
export type Figures = Omit<sys.SysFigures, "listener" | "incarnation" | "uptimeSeconds" | "clientsMaximum">;

/** Pairs of the topic behind `$SYS/broker/` and its value. */
export type SysValue = readonly [string, string];

export function sysValues(
  total: sys.SysFigures,
  { version, retained }: { readonly version: string; readonly retained: number },
): SysValue[] {
  const values: readonly (readonly [string, string | number])[] = [
    ["version", `Myelin version ${version}`],
    ["uptime", `${total.uptimeSeconds} seconds`],
    ["clients/connected", total.clientsConnected],
    ["clients/active", total.clientsConnected],
    ["clients/total", total.clientsConnected],
    ["clients/maximum", total.clientsMaximum],
    ["messages/received", total.messagesReceived],
    ["messages/sent", total.messagesSent],
    ["messages/stored", retained],
    ["store/messages/count", retained],
    ["retained messages/count", retained],
    ["publish/messages/received", total.publishReceived],
    ["publish/messages/sent", total.messagesSent],
    ["publish/messages/dropped", total.publishDropped],
    ["bytes/received", total.bytesReceived],
    ["bytes/sent", total.bytesSent],
    ["subscriptions/count", total.subscriptions],
  ];
  return values.map(([topic, value]) => [topic, String(value)]);
}

/** Topic below `load/`, and what is averaged. */
const LOADS = [
  ["connections", "connects"],
  ["messages/received", "messagesReceived"],
  ["messages/sent", "messagesSent"],
  ["publish/received", "publishReceived"],
  ["publish/sent", "messagesSent"],
  ["publish/dropped", "publishDropped"],
  ["bytes/received", "bytesReceived"],
  ["bytes/sent", "bytesSent"],
] as const satisfies readonly (readonly [string, keyof sys.SysFigures])[];

const MINUTE_MS = 60_000;
const SPANS = [1, 5, 15] as const;

/** How much there was per minute, as moving averages over 1, 5 and 15 minutes that begin at 0. */
export class LoadAverages {
  private readonly averages = LOADS.map(() => SPANS.map(() => 0));
  private last: { readonly total: sys.SysFigures; readonly atMs: number } | undefined;

  /** Counters that went back, because a listener is gone, count as nothing new. */
  add(total: sys.SysFigures, atMs: number): void {
    const { last } = this;
    this.last = { total, atMs };
    if (last === undefined || atMs <= last.atMs) return;
    const passedMs = atMs - last.atMs;
    LOADS.forEach(([, key], i) => {
      const perMinute = (Math.max(0, total[key] - last.total[key]) * MINUTE_MS) / passedMs;
      SPANS.forEach((minutes, j) => {
        const weight = 1 - Math.exp(-passedMs / (minutes * MINUTE_MS));
        this.averages[i]![j]! += (perMinute - this.averages[i]![j]!) * weight;
      });
    });
  }

  values(): SysValue[] {
    return LOADS.flatMap(([topic], i) =>
      SPANS.map((minutes, j): SysValue => [`load/${topic}/${minutes}min`, this.averages[i]![j]!.toFixed(2)]),
    );
  }
}
