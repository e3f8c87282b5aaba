/**
 * Nanoseconds per envelope of the hot path, without a test runner in between (its module wrappers would be measured too):
 * `.tools/bin/node packages/contract/src/batch/batch.bench.ts` after a build. Prints one JSON line per case: the best of the rounds.
 */
import {
  BATCH_TARGET_BYTES,
  BatchBuilder,
  BatchForwarder,
  BatchView,
  createChannel,
  EMPTY_HEAD,
  encodeMcpFrame,
  McpFrameReader,
  Stamp,
} from "@myelin/contract";

const ROUNDS = 15;
const MESSAGES = 400_000;

const link = {
  sender: "listener-0",
  incarnation: 123_456_789,
  partition: 3,
  lane: 1,
  target: "",
  targetInstance: "",
} as const;

const head = {
  ...EMPTY_HEAD,
  deviceId: "boiler-17",
  path: "plant/boiler-17/temperature",
  kind: 1,
  protocol: 1,
  port: "mqtt",
} as const;

function measure(name: string, count: number, run: () => number): void {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const before = process.hrtime.bigint();
    if (run() < count) throw new Error(`${name} did less than it should`);
    best = Math.min(best, Number(process.hrtime.bigint() - before) / count);
  }
  process.stdout.write(`${JSON.stringify({ case: name, nsPerMessage: Number(best.toFixed(1)) })}\n`);
}

const stamp = new Stamp(new Uint8Array(10));
stamp.tick(1_700_000_000_000_000);
const channels = Array.from({ length: 50 }, (_, i) =>
  createChannel(i + 1, { ...head, deviceId: `boiler-${i}` }, 3),
);

function fill(builder: BatchBuilder, payload: Buffer): Buffer {
  for (let i = 0; builder.size < BATCH_TARGET_BYTES; i++) {
    builder.append(channels[i % 50]!, payload, 0, payload.length);
  }
  return builder.finish()!;
}

for (const payloadBytes of [16, 64, 256, 1024]) {
  const payload = Buffer.alloc(payloadBytes, 7);
  const builder = new BatchBuilder(link, stamp);
  measure(`append ${payloadBytes} B`, MESSAGES, () => {
    for (let i = 0; i < MESSAGES; i++) {
      builder.append(channels[i % 50]!, payload, 0, payloadBytes);
      if (builder.size >= BATCH_TARGET_BYTES) builder.discard();
    }
    builder.discard();
    return MESSAGES;
  });
}

const extras = {
  sourceTimeUs: 1_700_000_000_000_000,
  deviceSequence: 77,
  senderId: true,
  id: new Uint8Array(16),
};
{
  const payload = Buffer.alloc(64, 7);
  const builder = new BatchBuilder(link, stamp);
  measure("appendWith id, time and sequence, 64 B", MESSAGES, () => {
    for (let i = 0; i < MESSAGES; i++) {
      extras.deviceSequence = i;
      builder.appendWith(channels[i % 50]!, payload, 0, 64, extras);
      if (builder.size >= BATCH_TARGET_BYTES) builder.discard();
    }
    builder.discard();
    return MESSAGES;
  });
}

const batch = fill(new BatchBuilder(link, stamp), Buffer.alloc(64, 7));
const view = new BatchView().reset(batch);
const perBatch = view.hop.count;
measure("next and channel, 64 B", MESSAGES, () => {
  let seen = 0;
  let sum = 0;
  while (seen < MESSAGES) {
    view.rewind();
    while (view.next()) sum += view.channel;
    seen += perBatch;
  }
  return sum > 0 ? seen : 0;
});
measure("next and payload range, 64 B", MESSAGES, () => {
  let seen = 0;
  let sum = 0;
  while (seen < MESSAGES) {
    view.rewind();
    while (view.next()) sum += view.payloadEnd - view.payloadStart;
    seen += perBatch;
  }
  return sum > 0 ? seen : 0;
});
measure("reset, per batch", 20_000, () => {
  for (let i = 0; i < 20_000; i++) view.reset(batch);
  return 20_000;
});
const forwarder = new BatchForwarder({ ...link, target: "app", targetInstance: "app-1" });
measure("forward, two targets in turn, 64 B", MESSAGES, () => {
  let seen = 0;
  while (seen < MESSAGES) {
    view.reset(batch);
    while (view.next()) if ((view.channel & 1) === 0) forwarder.add(view.recordStart, view.recordEnd, 1);
    seen += forwarder.finish(view) === undefined ? 0 : perBatch;
  }
  return seen;
});

const frame = encodeMcpFrame({
  id: "a1b2c3d4-1",
  type: "temperature",
  payload: Buffer.alloc(64),
  sequence: 7,
});
const chunk = Buffer.concat(Array.from({ length: 600 }, () => frame));
let read = 0;
const reader = new McpFrameReader({
  onMessage: (message) => {
    read += message.typeEnd > message.typeStart ? 1 : 0;
  },
  onError: (error) => {
    throw error;
  },
  onSkipped: () => undefined,
});
measure("MCP frame, 64 B", MESSAGES, () => {
  read = 0;
  while (read < MESSAGES) reader.push(chunk);
  reader.reset();
  return read;
});
