/** Commands on a schedule, and the devices that do them at once: both ends of the round trip, spoken to by lines on standard input. */
import { Agent, request } from "node:http";
import { createHistogram } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { connectAsync } from "mqtt";

const [http, mqtt, devices, rate] = process.argv.slice(2).map(Number) as [number, number, number, number];
const PROFILE = "bench-pump";
const READY_TRIES = 300;
const AT_ONCE = 50;

const agent = new Agent({ keepAlive: true, maxSockets: 512 });
const histogram = createHistogram({ lowest: 1_000, highest: 60_000_000_000, figures: 3 });
let received = 0;
let failed = 0;
let lastFailure = "";

interface Answer {
  readonly status: number;
  readonly text: string;
}

function send(method: string, path: string, body: object): Promise<Answer> {
  const text = JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
    const asked = request({ host: "127.0.0.1", port: http, method, path, agent, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
      );
      response.on("error", reject);
    });
    asked.on("error", reject);
    asked.end(text);
  });
}

/** A device that answers at once and reports what it was told. */
async function startDevice(number: number): Promise<void> {
  const id = `pump-${number}`;
  await until(`the registry to take ${id}`, async () => {
    const { status } = await send("PUT", `/api/v1/devices/${id}`, { profile: PROFILE });
    return status < 300;
  });
  const client = await connectAsync(`mqtt://127.0.0.1:${mqtt}`, { clientId: id, keepalive: 60 });
  client.on("message", (topic, payload) => {
    const { parameters } = JSON.parse(payload.toString()) as {
      readonly parameters: { readonly speed: number };
    };
    client.publish(topic.replace("/request/", "/response/"), '{"status":"SUCCEEDED"}', { qos: 1 });
    client.publish(`bench/${id}`, `{"speed":${parameters.speed}}`, { qos: 1 });
  });
  await client.subscribeAsync(`$aws/commands/things/${id}/executions/+/request/json`, { qos: 1 });
}

async function until(what: string, isTrue: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < READY_TRIES; attempt++) {
    if (await isTrue().catch(() => false)) return;
    await delay(100);
  }
  throw new Error(`waited in vain for ${what}`);
}

async function command(number: number, speed: number): Promise<boolean> {
  const body = { device: `pump-${number}`, command: "set", parameters: { speed }, ttl: "10s" };
  const { status, text } = await send("POST", "/api/v1/commands?wait=verified&timeout=20s", body);
  const isDone = status === 200 && text.includes('"state":"verified"');
  if (!isDone) lastFailure = text.slice(0, 300);
  return isDone;
}

function report(event: string): void {
  const { user, system } = process.cpuUsage();
  const us = (ns: number): number => ns / 1_000;
  const line = {
    event,
    received,
    failed,
    last_failure: lastFailure,
    time_ns: process.hrtime.bigint().toString(),
    cpu_seconds: (user + system) / 1e6,
    latency: {
      count: histogram.count,
      p50_us: us(histogram.percentile(50)),
      p99_us: us(histogram.percentile(99)),
      p999_us: us(histogram.percentile(99.9)),
      max_us: us(histogram.max),
    },
  };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

for (let from = 0; from < devices; from += AT_ONCE)
  await Promise.all(
    Array.from({ length: Math.min(AT_ONCE, devices - from) }, (_, i) => startDevice(from + i)),
  );
await until("a verified command", () => command(0, 1));

const startedNs = process.hrtime.bigint();
let sent = 0;
/** By the schedule: a system that pushes back cannot hide it by being asked less. */
function sendDue(): void {
  // The first one is due at the start, not an interval behind it.
  const due = 1 + Number(((process.hrtime.bigint() - startedNs) * BigInt(rate)) / 1_000_000_000n);
  for (; sent < due; sent++) {
    const scheduledNs = startedNs + (BigInt(sent) * 1_000_000_000n) / BigInt(rate);
    void command(sent % devices, sent % 1_000).then(
      (isDone) => {
        if (!isDone) failed += 1;
        else {
          received += 1;
          histogram.record(process.hrtime.bigint() - scheduledNs);
        }
      },
      (error: Error) => {
        failed += 1;
        lastFailure = error.message;
      },
    );
  }
}
const timer = setInterval(sendDue, 1);

report("ready");
for await (const word of createInterface({ input: process.stdin })) {
  if (word === "stop") break;
  if (word === "reset") {
    histogram.reset();
    received = 0;
    failed = 0;
  }
  report(word);
}
clearInterval(timer);
report("done");
process.exit(0);
