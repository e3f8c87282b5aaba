/** The sample application: a process of its own on the SDK. Tells its parent how many readings it has, and at the end what it saw. */
import { IpcClient } from "@myelin/sdk-node";
import type { Reading } from "./readings.js";
import { Summary } from "./summary.js";

const [target = "", path = ""] = process.argv.slice(2);
const summary = new Summary();
const client = new IpcClient({
  app: "weather-demo",
  target,
  subscriptions: [path],
  reconnect: { perMinute: 60, initialMs: 200 },
});
client.onMessage((message) => {
  const { date, temperature } = message.json() as Reading;
  const time = message.sourceTime?.toISOString() ?? new Date(date).toISOString();
  summary.add(message.protocol ?? "unknown", message.deviceId, time, temperature);
});

const PROGRESS_MS = 100;
const tell = (kind: "progress" | "summary"): void => {
  process.send?.({ kind, count: summary.count, rows: kind === "summary" ? summary.rows() : [] });
};
// The parent decides when it ends; a Ctrl-C of the terminal reaches both.
process.on("SIGINT", () => undefined);
let timer: NodeJS.Timeout | undefined;
async function finish(): Promise<void> {
  clearInterval(timer);
  await client.stop();
  if (process.connected) {
    tell("summary");
    process.disconnect();
  }
}
process.once("message", () => void finish());
process.once("disconnect", () => void finish());
await client.start();
// The first report says that the application is connected.
tell("progress");
timer = setInterval(() => tell("progress"), PROGRESS_MS);
