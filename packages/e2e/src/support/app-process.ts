/**
 * An application in a process of its own, on the built SDK: writes a line about each message to a file, then acknowledges.
 * Told by one JSON argument; SIGUSR2 wakes one that was started asleep. Run by Node as it is, so it imports nothing relative.
 */
import { openSync, writeSync } from "node:fs";
import { IpcClient, type Message } from "@myelin/sdk-node";

interface AppSettings {
  readonly app: string;
  readonly instance?: string;
  readonly target: string;
  readonly filters: readonly string[];
  readonly file: string;
  /** Answers each message to the device that sent it, on `answers/<path>`. */
  readonly answer?: boolean;
  /** Takes a message and keeps it, until it is woken. */
  readonly asleep?: boolean;
  readonly credit?: { readonly messages?: number; readonly bytes?: number };
}

const settings = JSON.parse(process.argv[2] ?? "{}") as AppSettings;
const file = openSync(settings.file, "a");
const awake = Promise.withResolvers<void>();
if (settings.asleep !== true) awake.resolve();
process.on("SIGUSR2", () => awake.resolve());

const client = new IpcClient({
  app: settings.app,
  target: settings.target,
  subscriptions: settings.filters,
  reconnect: { perMinute: 120, initialMs: 50 },
  onStateChange: (state) => process.stdout.write(`state ${state}\n`),
  onError: (error) => process.stdout.write(`error ${error.code} ${error.message}\n`),
  ...(settings.instance === undefined ? {} : { instance: settings.instance }),
  ...(settings.credit === undefined ? {} : { credit: settings.credit }),
});

function line(
  message: Pick<Message, "deviceId" | "path" | "protocol" | "lane" | "redelivered">,
  text: string,
) {
  const { deviceId, path, protocol, lane, redelivered } = message;
  return `${JSON.stringify({ device: deviceId, path, protocol, lane, redelivered, text })}\n`;
}

if (settings.answer === true) {
  client.onMessage(async (message) => {
    writeSync(file, line(message, message.text()));
    try {
      const state = await client.send(message.deviceId, `answers/${message.path}`, message.json() as object);
      process.stdout.write(`answered ${message.deviceId} ${state}\n`);
    } catch (error) {
      process.stdout.write(`answered ${message.deviceId} ${(error as { code?: string }).code}\n`);
    }
  });
} else {
  client.onBatch(async (batch, ack) => {
    let text = "";
    for (const message of batch) text += line(message, message.text().slice(0, 200));
    await awake.promise;
    // In the file before it is acknowledged: what a kill takes away after this line was received.
    writeSync(file, text);
    ack();
  });
}
await client.start();
process.stdout.write("ready\n");
process.once("SIGTERM", () => void client.stop());
