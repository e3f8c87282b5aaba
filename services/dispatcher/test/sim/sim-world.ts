/** A whole small Myelin in memory: producers, dispatchers that may die, a bridge, apps. */
import { BatchBuilder, createChannel, Kind, Lane, Protocol, Stamp } from "@myelin/contract";
import { FakeClock } from "@myelin/kernel";
import { Dispatcher } from "../../src/core/dispatcher.js";
import type { Target } from "../../src/core/outlet.js";
import { appTarget } from "../../src/targets/app/app-target.js";
import type { TargetContext } from "../../src/targets/target.js";
import { unroutedTarget } from "../../src/targets/unrouted/unrouted-target.js";
import { Network } from "./network.js";
import { Choices } from "./random.js";
import { SimBridge } from "./sim-bridge.js";
import { SimNats, type SimProcess } from "./sim-nats.js";

interface Running {
  readonly process: SimProcess;
  readonly dispatcher: Dispatcher;
  lease: { held: boolean } | undefined;
}

export interface WorldOptions {
  readonly seed: number;
  readonly devices: number;
  readonly queueBytes?: number;
  readonly credit?: number;
  /** Now and then two batches are stored in the wrong order. */
  readonly reorders?: boolean;
}

export class World {
  readonly clock = new FakeClock();
  readonly choices: Choices;
  readonly network: Network;
  readonly nats: SimNats;
  readonly bridge: SimBridge;
  /** Numbers sent per device: 1 … n, without those of producers that never stored them. */
  readonly sent = new Map<string, number>();
  private readonly builder: BatchBuilder;
  private readonly channels;
  private running: Running | undefined;
  private epoch = 0;
  private starts = 0;
  private heldBack: Buffer | undefined;

  constructor(private readonly options: WorldOptions) {
    this.choices = new Choices(options.seed);
    this.network = new Network(this.choices);
    this.nats = new SimNats(this.clock, this.network, this.choices);
    this.bridge = new SimBridge(this.nats, this.network, this.choices, options.credit ?? 4);
    const stamp = new Stamp(Buffer.alloc(10, 3));
    stamp.tick(this.clock.wallUs());
    this.builder = new BatchBuilder(
      { sender: "listener", incarnation: 5, partition: 0, lane: Lane.EVENT, target: "", targetInstance: "" },
      stamp,
    );
    this.channels = Array.from({ length: options.devices }, (_, i) => {
      const deviceId = `d${i}`;
      this.sent.set(deviceId, 0);
      const head = {
        tenant: "",
        deviceId,
        path: `t/${i}`,
        kind: Kind.EVENT,
        protocol: Protocol.MQTT,
        contentType: "",
        port: "",
        profile: "",
      };
      return createChannel(i + 1, head, 0);
    });
  }

  get dispatcher(): Dispatcher | undefined {
    return this.running?.dispatcher;
  }

  /** A producer stores a batch of a few events. */
  produce(): void {
    const count = 1 + this.choices.below(4);
    for (let i = 0; i < count; i++) {
      const channel = this.choices.pick(this.channels);
      const number = (this.sent.get(channel.head.deviceId) ?? 0) + 1;
      this.sent.set(channel.head.deviceId, number);
      const payload = Buffer.from(String(number));
      this.builder.append(channel, payload, 0, payload.length);
    }
    const batch = this.builder.finish()!;
    if (
      this.options.reorders &&
      this.nats.events.length > 0 &&
      this.heldBack === undefined &&
      this.choices.chance(0.2)
    ) {
      this.heldBack = batch;
    } else {
      this.nats.storeEvents(batch);
      this.flush();
    }
  }

  /** Stores a batch that was kept back to come late. */
  flush(): void {
    if (this.heldBack === undefined) return;
    this.nats.storeEvents(this.heldBack);
    this.heldBack = undefined;
  }

  /** Starts a dispatcher process and gives it the lease. */
  async start(): Promise<void> {
    const process = { name: `dispatcher-${++this.starts}`, alive: true };
    const ports = this.nats.portsOf(process, 1000 + this.starts);
    const dispatcher = new Dispatcher({
      ports,
      limits: {
        telemetryBytes: 10_000,
        eventBytes: this.options.queueBytes ?? 400,
        awayGraceMs: 1_000,
      },
      maxPending: 8,
      maxPendingBytes: 1_000_000,
      handoverMs: 500,
      willBytes: 0,
      order: { settleMs: 30, waitMs: 3_600_000 },
      createTarget: (kind, name, _spec, core): Target => {
        const context = {
          ports,
          links: core.links,
          apps: core.apps,
          listeners: core.listeners,
          homes: { epochOf: () => 0 },
          onChange: (subject: string, listener: (gone: readonly string[]) => void) =>
            core.watch(subject, listener),
          dataDir: undefined,
        } satisfies TargetContext;
        return kind === "app" ? appTarget.create(name, context) : unroutedTarget.create(name, context);
      },
      specOf: () => undefined,
      keepApp: () => undefined,
    });
    const lease = { partition: 0, epoch: ++this.epoch, held: true };
    this.running = { process, dispatcher, lease };
    dispatcher.start();
    dispatcher.apps.restore({ app: "a", subscriptions: [everything()] });
    dispatcher.apps.restore({ app: "b", subscriptions: [everything()] });
    void dispatcher.acquire(lease);
    await this.clock.advance(1);
  }

  /** The process dies: nothing of it is heard any more. */
  async crash(): Promise<void> {
    const { running } = this;
    if (running === undefined) return;
    running.process.alive = false;
    if (running.lease !== undefined) running.lease.held = false;
    this.network.cut(running.process.name);
    this.running = undefined;
    await running.dispatcher.stop();
  }

  /** An orderly handover to a new process. */
  async handOver(): Promise<void> {
    const { running } = this;
    if (running === undefined) return;
    let done = false;
    void running.dispatcher.release(0, true).then(() => {
      done = true;
    });
    for (let i = 0; i < 2_000 && !done; i++) await this.turn(5);
    this.running = undefined;
    await running.dispatcher.stop();
    running.process.alive = false;
    this.network.cut(running.process.name);
    await this.start();
  }

  /** A few deliveries, then a moment passes. */
  async turn(ms: number): Promise<void> {
    for (let i = this.choices.below(12); i >= 0; i--) this.network.step();
    await this.clock.advance(ms);
  }

  /** Goes on without trouble until everything is settled; false when it never is. */
  async quiesce(): Promise<boolean> {
    this.nats.lossRate = this.nats.failRate = 0;
    this.flush();
    if (this.running === undefined) await this.start();
    for (let i = 0; i < 3_000; i++) {
      for (let k = 0; k < 40 && this.network.step(); k++);
      this.bridge.acknowledgeSome(true);
      if (i % 10 === 0) {
        this.bridge.repeatAcks();
        this.bridge.announce();
      }
      await this.clock.advance(50);
      if (this.settled) return true;
    }
    return false;
  }

  get settled(): boolean {
    const overflowEmpty = [...this.nats.overflow.values()].every((log) => log.length === 0);
    return overflowEmpty && this.network.idle && this.nats.events.every((m) => m.acknowledged);
  }
}

function everything() {
  return { filter: "#", deviceIds: [], kinds: [], protocols: [], ports: [] };
}
