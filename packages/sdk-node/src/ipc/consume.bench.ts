/**
 * Messages per second that one core takes through the consumers, without sockets:
 * `pnpm build && node packages/sdk-node/src/ipc/consume.bench.ts`. Prints one JSON line per case: the best of the rounds.
 */
import { randomBytes } from "node:crypto";
import { BatchBuilder, createChannel, Kind, Lane, Protocol, Stamp } from "@myelin/contract";
import { systemClock } from "@myelin/kernel";
import { BatchConsumer } from "../../dist/ipc/batch-consumer.js";
import type { ConsumerPorts, Work } from "../../dist/ipc/consumer.js";
import { Heads } from "../../dist/ipc/heads.js";
import { MessageBatch } from "../../dist/ipc/message-batch.js";
import { MessageConsumer } from "../../dist/ipc/message-consumer.js";

const MESSAGES = 500;

function makeBatch(devices: number): Buffer {
  const link = {
    sender: "d",
    incarnation: 1,
    partition: 0,
    lane: Lane.TELEMETRY,
    target: "a",
    targetInstance: "i",
  };
  const builder = new BatchBuilder(link, new Stamp(randomBytes(10)));
  const payload = Buffer.from('{"t":21.5,"h":40,"site":"north","unit":"celsius","seq":1234567}.');
  const channels = Array.from({ length: devices }, (_, i) =>
    createChannel(
      i + 1,
      {
        tenant: "",
        deviceId: `device-${i}`,
        path: `plant/device-${i}/temperature`,
        kind: Kind.TELEMETRY,
        protocol: Protocol.MQTT,
        contentType: "",
        port: "mqtt",
        profile: "",
      },
      0,
    ),
  );
  for (let i = 0; i < MESSAGES; i++) builder.append(channels[i % devices]!, payload, 0, payload.length);
  return builder.finish()!;
}

const ports: ConsumerPorts = {
  clock: systemClock,
  counters: { received: 0, handled: 0, handlerErrors: 0, skipped: 0, malformed: 0 },
  concurrency: () => 64,
  policy: () => ({ policy: "retry", maxAttempts: 0 }),
  onError: (error) => {
    throw error;
  },
  halt: () => undefined,
};

const ticket = { done: () => undefined };
const ROUNDS = 12;
const BATCHES = 800;

function measure(name: string, data: Buffer, consumer: { push(work: Work): void }): void {
  const heads = new Heads();
  let best = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const began = performance.now();
    for (let i = 0; i < BATCHES; i++) {
      consumer.push({ batch: new MessageBatch(data, heads), ticket, gone: () => false });
    }
    best = Math.max(best, (BATCHES * MESSAGES * 1000) / (performance.now() - began));
  }
  process.stdout.write(`${JSON.stringify({ name, messagesPerSecond: Math.round(best) })}\n`);
}

let sum = 0;
for (const devices of [50, 500]) {
  const data = makeBatch(devices);
  const offsets = new BatchConsumer((batch) => {
    for (const m of batch) sum += m.payloadEnd - m.payloadStart + m.deviceId.length;
  }, ports);
  const views = new BatchConsumer((batch) => {
    for (const m of batch) sum += m.payload.length + m.path.length;
  }, ports);
  const messages = new MessageConsumer((m) => {
    sum += m.payload.length + m.deviceId.length;
  }, ports);
  measure(`${devices} devices, by batch, offsets`, data, offsets);
  measure(`${devices} devices, by batch, payload views`, data, views);
  measure(`${devices} devices, by callback`, data, messages);
}
// Written, so that nothing of the above is left out by the compiler.
process.stdout.write(`${JSON.stringify({ sum })}\n`);
