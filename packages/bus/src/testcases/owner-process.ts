// A process that owns its share of the partitions and says what it does, for tests that kill and freeze it.
import { BatchView } from "@myelin/contract";
import { silentLogger } from "@myelin/observability";
import {
  createBus,
  createEventConsumer,
  createHeartbeat,
  createLiveness,
  createPartitionOwner,
  type EventConsumer,
  type Ownership,
} from "../index.js";

const [url = "", instance = "", partitions = ""] = process.argv.slice(2);
const signal = new AbortController().signal;
// One clock for all processes of a machine.
const nowUs = (): number => Number(process.hrtime.bigint() / 1000n);
const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

const bus = createBus({ servers: [url], instance, service: "dispatcher", logger: silentLogger });
const liveness = createLiveness(bus, { service: "dispatcher" });
const heartbeat = createHeartbeat(bus, { service: "dispatcher", version: "1" });
const owner = createPartitionOwner(bus, { partitions: Number(partitions), liveness });
const consumers = new Map<number, EventConsumer>();
const mine = new Set<Ownership>();

owner.onChange({
  async acquired(ownership) {
    const { partition, epoch } = ownership;
    const consumer = createEventConsumer(bus, { partition, epoch });
    const view = new BatchView();
    consumer.onDelivery((delivery) => {
      if (!ownership.held) return;
      view.reset(delivery.data);
      const numbers: number[] = [];
      while (view.next()) numbers.push(view.payload().readUInt32LE());
      say({ partition, epoch, us: nowUs(), numbers, again: delivery.redelivered });
      delivery.ack();
    });
    await consumer.start(signal);
    consumers.set(partition, consumer);
    mine.add(ownership);
  },
  async released(ownership, reason) {
    mine.delete(ownership);
    const consumer = consumers.get(ownership.partition);
    consumers.delete(ownership.partition);
    if (reason === "lost") await consumer?.stop();
    else await consumer?.drain(2_000);
  },
});

setInterval(() => {
  for (const ownership of mine) {
    if (ownership.held) say({ partition: ownership.partition, epoch: ownership.epoch, us: nowUs() });
  }
}, 20);

for (const component of [bus, liveness, heartbeat, owner]) await component.start(signal);
say({ ready: true });
process.once("SIGTERM", async () => {
  heartbeat.setDraining(true);
  for (const component of [owner, heartbeat, liveness, bus]) await component.stop();
  process.disconnect?.();
  process.exitCode = 0;
});
