/** The consuming app of the bench: an IpcClient in its own process, spoken to by lines on standard input. */
import { createHistogram } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { IpcClient } from "@myelin/sdk-node";

// Where the driver writes the 20 digits of its stamp: behind {"ns":" at the head of the payload.
const STAMP_OFFSET = 7;
const STAMP_DIGITS = 20;

const [target, filter, mode, stamped] = process.argv.slice(2) as [string, string, string, string];
const withStamp = stamped === "stamp";
const histogram = createHistogram({ lowest: 1_000, highest: 60_000_000_000, figures: 3 });
let received = 0;

function record(payload: Buffer): void {
  const sent = BigInt(payload.toString("latin1", STAMP_OFFSET, STAMP_OFFSET + STAMP_DIGITS));
  const took = process.hrtime.bigint() - sent;
  histogram.record(took > 1_000n ? took : 1_000n);
}

const client = new IpcClient({
  app: "bench",
  target,
  subscriptions: [filter],
  credit: { messages: 200_000, bytes: 32 * 1024 * 1024 },
});

if (mode === "batch") {
  client.onBatch((batch, ack) => {
    // Every message is visited: counting by the header would measure a copy, not a consumer.
    if (withStamp) for (const message of batch) record(message.payload);
    while (!withStamp && batch.next()) received += 1;
    if (withStamp) received += batch.count;
    ack();
  });
} else {
  client.onMessage((message) => {
    received += 1;
    if (withStamp) record(message.payload);
  });
}

function report(event: string): void {
  const { user, system } = process.cpuUsage();
  const us = (ns: number): number => ns / 1_000;
  const line = {
    event,
    received,
    time_ns: process.hrtime.bigint().toString(),
    cpu_seconds: (user + system) / 1e6,
    ...(withStamp && {
      latency: {
        count: histogram.count,
        p50_us: us(histogram.percentile(50)),
        p99_us: us(histogram.percentile(99)),
        p999_us: us(histogram.percentile(99.9)),
        max_us: us(histogram.max),
      },
    }),
  };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

await client.start();
report("ready");
for await (const command of createInterface({ input: process.stdin })) {
  if (command === "stop") break;
  if (command === "reset") histogram.reset();
  report(command);
}
await client.stop();
report("done");
