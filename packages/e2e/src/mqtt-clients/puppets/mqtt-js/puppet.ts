/** MQTT.js, driven line by line. */
import { createInterface } from "node:readline";
import { connect, type IClientOptions, type IClientSubscribeOptions } from "mqtt";

type Qos = IClientSubscribeOptions["qos"];
interface Filter {
  readonly name: string;
  readonly qos: Qos;
}

const [port, version, clientId, will] = process.argv.slice(2) as [string, string, string, string];
const filters: Filter[] = [];

const client = connect(`mqtt://127.0.0.1:${port}`, {
  clientId,
  protocolVersion: Number(version) as NonNullable<IClientOptions["protocolVersion"]>,
  reconnectPeriod: 1000,
  // We subscribe again ourselves, and say so.
  resubscribe: false,
  ...(will === "-" ? {} : { will: { topic: will, payload: Buffer.from("gone"), qos: 1, retain: false } }),
});

function say(...words: readonly unknown[]): void {
  process.stdout.write(`${words.join(" ")}\n`);
}

async function subscribe({ name, qos }: Filter): Promise<void> {
  const [granted] = await client.subscribeAsync(name, { qos });
  say("subscribed", granted?.qos);
}

async function publish(topic: string, qos: Qos, count: number): Promise<void> {
  const sent = Array.from({ length: count }, (_, n) => client.publishAsync(topic, `${qos}-${n}`, { qos }));
  say("published", (await Promise.all(sent)).length);
}

client.on("connect", async () => {
  say("connected");
  for (const filter of filters) await subscribe(filter);
});
client.on("message", (topic, payload, packet) => say("message", topic, packet.qos, payload));
client.on("error", (error) => process.stderr.write(`${error}\n`));

for await (const line of createInterface({ input: process.stdin })) {
  const [what, name = "", qos, count] = line.split(" ");
  const level = Number(qos) as Qos;
  if (what === "subscribe") {
    filters.push({ name, qos: level });
    await subscribe({ name, qos: level });
  }
  if (what === "publish") await publish(name, level, Number(count));
}
await client.endAsync();
