/** MQTT connections without sockets: bytes in, packets and envelopes out. */
import type { Duplex } from "node:stream";
import { checkValue } from "@myelin/config";
import { FakeClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import mqttPacket, { type Packet } from "mqtt-packet";
import type {
  Admission,
  AdmissionListener,
  AuthenticationExchange,
  ConnectVerdict,
  Credentials,
} from "../src/core/admission.js";
import type { ByteStream, StreamSink } from "../src/core/byte-stream.js";
import { ConnectionManager } from "../src/core/connection-manager.js";
import { Ingress } from "../src/core/ingress.js";
import { DEFAULT_GLOBAL_LIMITS } from "../src/core/limits.js";
import { ListenerMetrics } from "../src/core/metrics.js";
import { NewChannels } from "../src/core/new-channels.js";
import { TraceHub } from "../src/core/operations-trace.js";
import type { ProtocolContext } from "../src/core/protocol.js";
import type { RetainedFetch, RetainedMessages, RetainedSink } from "../src/core/retained.js";
import { SessionDirectory } from "../src/core/session-directory.js";
import { SubscriptionTable } from "../src/core/subscription-table.js";
import { WillKeeper } from "../src/core/will-keeper.js";
import { publishWill } from "../src/core/will-publisher.js";
import { type MqttConfig, schema } from "../src/protocols/mqtt/config.js";
import type { MqttConnection } from "../src/protocols/mqtt/mqtt-connection.js";
import { MqttPort } from "../src/protocols/mqtt/mqtt-port.js";
import { MemoryBus, MemoryHub } from "./memory-bus.js";
import { RecordingEvents, RecordingTelemetry } from "./recording-senders.js";

export type { Duplex };

/** Allows everything unless told otherwise. */
export class TestAdmission implements Admission {
  generation = 1;
  readonly asked: string[] = [];
  private readonly listeners = new Set<AdmissionListener>();
  readonly refusedPaths = new Set<string>();
  readonly refusedFilters = new Set<string>();
  answer: (who: Credentials) => ConnectVerdict | Promise<ConnectVerdict> = (who) => ({
    allow: true,
    identity: { tenant: "", deviceId: who.deviceId, user: who.user ?? "" },
  });

  /** Set: the exchange that every method of enhanced authentication begins. */
  exchange: ((who: Credentials) => AuthenticationExchange) | undefined;

  connect(who: Credentials): ConnectVerdict | Promise<ConnectVerdict> {
    return this.answer(who);
  }

  authenticate(_method: string, who: Credentials): AuthenticationExchange | undefined {
    return this.exchange?.(who);
  }

  publish(_identity: unknown, path: string): boolean {
    this.asked.push(path);
    return !this.refusedPaths.has(path);
  }

  subscribe(_identity: unknown, filter: string): boolean {
    return !this.refusedFilters.has(filter);
  }

  onChange(listener: AdmissionListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** The rules have changed, and these users are gone. */
  change(...users: string[]): void {
    this.generation += 1;
    for (const listener of this.listeners) listener(({ user }) => users.includes(user));
  }
}

/** A stream that keeps what was written. */
export class TestStream implements ByteStream {
  written = Buffer.alloc(0);
  writes = 0;
  writableLength = 0;
  ended = false;
  destroyed = false;
  paused = false;
  /** False: bytes stay in `writableLength`, as for a client that does not read. */
  reading = true;

  write(data: Uint8Array): boolean {
    this.written = Buffer.concat([this.written, data]);
    this.writes += 1;
    if (this.reading) return true;
    this.writableLength += data.length;
    return false;
  }
  cork(): void {}
  uncork(): void {}
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
  end(): void {
    this.ended = true;
  }
  destroy(): void {
    this.destroyed = true;
  }
}

/** No topic has a retained message. */
class NothingRetained implements RetainedMessages {
  readonly isFull = false;
  private asked: RetainedSink[] = [];

  fetch(_tenant: string, _filter: string, sink: RetainedSink): RetainedFetch {
    this.asked.push(sink);
    return { resume: () => undefined };
  }

  async list(): Promise<{ found: []; more: false }> {
    return { found: [], more: false };
  }

  async clear(): Promise<number> {
    return 0;
  }

  sysWanted(): void {}

  answer(): void {
    for (const sink of this.asked.splice(0)) sink.done();
  }
}

export interface MqttRig {
  readonly clock: FakeClock;
  readonly telemetry: RecordingTelemetry;
  readonly events: RecordingEvents;
  readonly admission: TestAdmission;
  readonly manager: ConnectionManager;
  readonly metrics: ListenerMetrics;
  readonly sessions: SessionDirectory;
  readonly table: SubscriptionTable;
  readonly ingress: Ingress;
  /** Its bus has nobody else on it. */
  readonly traces: TraceHub;
  readonly bus: MemoryBus;
  readonly port: MqttPort;
  client(): MqttClient;
  /** A client that has sent CONNECT and read CONNACK. */
  connected(clientId?: string, version?: 4 | 5, connect?: object): MqttClient;
}

/** @param more over the context of the port */
export function mqttRig(
  settings: Partial<Record<keyof MqttConfig, unknown>> = {},
  more: Partial<ProtocolContext> = {},
): MqttRig {
  const { value: config, problems } = checkValue(schema, settings);
  if (problems.length > 0) throw new Error(JSON.stringify(problems));
  const clock = new FakeClock();
  const telemetry = new RecordingTelemetry();
  const events = new RecordingEvents();
  const admission = new TestAdmission();
  const limits = { channelsPerConnection: 64, sharedChannels: 1024 };
  const numbers = new NewChannels({ clock, rate: undefined, onScarce: () => {} });
  const ingress = new Ingress({ telemetry, events, admission, partitions: 8, limits, numbers });
  const manager = new ConnectionManager(clock, DEFAULT_GLOBAL_LIMITS, () => ingress.congested);
  const sessions = new SessionDirectory(8, clock);
  const table = new SubscriptionTable({ wanted: () => {}, unwanted: () => {}, shared: () => {} });
  const metrics = new ListenerMetrics();
  const bus = new MemoryBus(new MemoryHub(), "listener-0");
  const traces = new TraceHub(bus, clock);
  const nothing = new NothingRetained();
  const ctx = {
    port: "mqtt",
    listen: false,
    log: silentLogger,
    clock,
    admission,
    connections: manager,
    ingress,
    sessions,
    subscriptions: table,
    retained: nothing,
    wills: new WillKeeper(clock, (owner, will) => publishWill(ingress, clock, owner, will)),
    traces,
    metrics,
    ...more,
  } as unknown as ProtocolContext;
  manager.start();
  const port = new MqttPort(config, ctx);
  const client = (): MqttClient => new MqttClient(port, () => nothing.answer());
  return {
    clock,
    telemetry,
    events,
    admission,
    manager,
    metrics,
    sessions,
    table,
    ingress,
    traces,
    bus,
    port,
    client,
    connected(clientId = "c", version = 4, connect = {}) {
      const made = client();
      made.send(connectPacket(clientId, version, connect));
      const [connack] = made.packets(version);
      if (connack?.cmd !== "connack" || (connack.returnCode ?? connack.reasonCode) !== 0) {
        throw new Error(`not connected: ${JSON.stringify(connack)}`);
      }
      return made;
    },
  };
}

export function connectPacket(clientId: string, version: 4 | 5 = 4, more: object = {}): Packet {
  return {
    cmd: "connect",
    protocolId: "MQTT",
    protocolVersion: version,
    clean: true,
    clientId,
    keepalive: 0,
    ...more,
  } as Packet;
}

/** A client's end of a connection. */
export class MqttClient {
  readonly stream = new TestStream();
  readonly connection: MqttConnection;
  private readonly sink: StreamSink;
  private version: 4 | 5 = 4;
  private read = 0;

  /** @param answered the deployment answers what the last bytes made the connection ask */
  constructor(
    port: MqttPort,
    private readonly answered: () => void,
  ) {
    this.sink = port.handleStream(this.stream, { address: "127.0.0.1", secure: false });
    this.connection = this.sink as MqttConnection;
  }

  send(packet: Packet): void {
    if (packet.cmd === "connect") this.version = (packet.protocolVersion ?? 4) as 4 | 5;
    this.raw(mqttPacket.generate(packet, { protocolVersion: this.version }));
  }

  raw(bytes: Uint8Array): void {
    this.sink.onData(Buffer.from(bytes));
    this.answered();
  }

  drained(): void {
    this.stream.writableLength = 0;
    this.stream.reading = true;
    this.sink.onDrain();
  }

  /** The network is gone. */
  lose(): void {
    this.sink.onClosed();
  }

  /** What the server has written since the last call, once everything that waits for the end of the turn is out. */
  packets(version: 4 | 5 = this.version): Packet[] {
    this.connection.flush();
    return this.decode(version);
  }

  /** As `packets`, after the microtasks that flush. */
  async turn(version: 4 | 5 = this.version): Promise<Packet[]> {
    await Promise.resolve();
    return this.decode(version);
  }

  private decode(version: 4 | 5): Packet[] {
    const bytes = this.stream.written.subarray(this.read);
    this.read = this.stream.written.length;
    const out: Packet[] = [];
    const parser = mqttPacket.parser({ protocolVersion: version });
    parser.on("packet", (packet) => out.push(packet));
    parser.on("error", (error) => {
      throw error;
    });
    parser.parse(bytes);
    return out;
  }
}
