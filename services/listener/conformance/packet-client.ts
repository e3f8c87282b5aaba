/** A client that sends what it is told, however wrong, and shows what comes back; the codec is a library's, not ours. */
import { EventEmitter, once } from "node:events";
import { connect as connectSocket, type Socket } from "node:net";
import mqttPacket, { type IConnackPacket, type IPublishPacket, type Packet } from "mqtt-packet";
import { WebSocket } from "ws";

/** What carries the bytes. */
export type Transport = "TCP" | "WebSocket";

/** As the protocol level in CONNECT. */
export type Level = 4 | 5;

type Of<C extends Packet["cmd"]> = Extract<Packet, { cmd: C }>;

interface Wire {
  send(data: Uint8Array): void;
  /** Gone without a word. */
  lose(): void;
}

interface Events {
  data(chunk: Buffer): void;
  end(): void;
}

/** Where to, how, and how long to wait for an answer. */
export interface Dial {
  readonly transport: Transport;
  readonly port: number;
  readonly level: Level;
  readonly patienceMs: number;
}

export class PacketClient implements AsyncDisposable {
  /** Filled by whoever has sent CONNECT. */
  connack: IConnackPacket | undefined;
  /** The sub-protocol the server chose; WebSocket only. */
  subprotocol = "";
  private readonly inbox: Packet[] = [];
  private readonly parser: mqttPacket.Parser;
  private wire: Wire | undefined;
  private closed = false;
  private broken: Error | undefined;
  private readonly changes = new EventEmitter();

  private constructor(private readonly dial: Dial) {
    this.parser = mqttPacket.parser({ protocolVersion: dial.level });
    this.parser.on("packet", (packet) => this.inbox.push(packet));
    this.parser.on("error", (error: Error) => {
      this.broken = error;
    });
  }

  /** A connection on which nothing was said yet. */
  static async open(dial: Dial): Promise<PacketClient> {
    const client = new PacketClient(dial);
    const events: Events = {
      data: (chunk) => {
        client.parser.parse(chunk);
        client.changes.emit("change");
      },
      end: () => {
        client.closed = true;
        client.changes.emit("change");
      },
    };
    client.wire =
      dial.transport === "TCP"
        ? await overTcp(dial.port, events)
        : await overWebSocket(dial.port, events, (name) => {
            client.subprotocol = name;
          });
    return client;
  }

  send(...packets: readonly Packet[]): void {
    this.raw(...packets.map((packet) => this.encode(packet)));
  }

  /** All in one write. */
  raw(...parts: readonly Uint8Array[]): void {
    this.wire!.send(Buffer.concat(parts));
  }

  encode(packet: Packet): Buffer {
    return mqttPacket.generate(packet, { protocolVersion: this.dial.level });
  }

  publish(topic: string, payload: string | Buffer, more: Partial<IPublishPacket> = {}): void {
    this.send({ cmd: "publish", topic, payload, qos: 0, dup: false, retain: false, ...more });
  }

  /** The next packet, which must be of this kind. */
  async next<C extends Packet["cmd"]>(cmd: C): Promise<Of<C>> {
    const packet = await this.any(cmd);
    if (packet.cmd !== cmd) throw new Error(`${cmd} was due, and this came: ${JSON.stringify(packet)}`);
    return packet as Of<C>;
  }

  /** The next packet. */
  async any(due = "a packet"): Promise<Packet> {
    await this.until(() => this.inbox.length > 0 || this.closed, due);
    const packet = this.inbox.shift();
    if (packet === undefined) throw new Error(`the connection ended where ${due} was due`);
    return packet;
  }

  /** The next packet of this kind but for messages, which may come before an answer and stay for later. */
  async answer<C extends Packet["cmd"]>(cmd: C): Promise<Of<C>> {
    const at = (): number => this.inbox.findIndex((packet) => packet.cmd !== "publish");
    await this.until(() => at() >= 0 || this.closed, cmd);
    const [packet] = at() < 0 ? [] : this.inbox.splice(at(), 1);
    if (packet?.cmd !== cmd) throw new Error(`${cmd} was due, and this came: ${JSON.stringify(packet)}`);
    return packet as Of<C>;
  }

  /** The next packet, which must be a message: its topic and text, and the packet. */
  async message(): Promise<IPublishPacket & { readonly text: string }> {
    const packet = await this.next("publish");
    return Object.assign(packet, { text: packet.payload.toString() });
  }

  /** Waits for the end of the connection; everything that came before it. */
  async ended(): Promise<Packet[]> {
    await this.until(() => this.closed, "the end of the connection");
    return this.inbox.splice(0);
  }

  /** A round trip; what came before its answer, besides the answer. */
  async roundTrip(): Promise<Packet[]> {
    this.send({ cmd: "pingreq" });
    const before: Packet[] = [];
    for (;;) {
      await this.until(() => this.inbox.length > 0 || this.closed, "pingresp");
      const packet = this.inbox.shift();
      if (packet === undefined) throw new Error("the connection ended where pingresp was due");
      if (packet.cmd === "pingresp") return before;
      before.push(packet);
    }
  }

  /** The network fails: no DISCONNECT. */
  lose(): void {
    this.wire!.lose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.wire?.lose();
  }

  private async until(condition: () => boolean, what: string): Promise<void> {
    if (condition()) return;
    const { patienceMs } = this.dial;
    const signal = AbortSignal.timeout(patienceMs);
    while (!condition()) {
      if (this.broken !== undefined) throw this.broken;
      try {
        await once(this.changes, "change", { signal });
      } catch (cause) {
        throw new Error(`waited in vain for ${what}, ${patienceMs} ms`, { cause });
      }
    }
  }
}

function overTcp(port: number, events: Events): Promise<Wire> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connectSocket({ port, host: "127.0.0.1", noDelay: true });
    socket.once("error", reject);
    socket.once("connect", () => {
      // A server that closes while we write is part of the matter.
      socket.on("error", () => {});
      socket.on("data", events.data);
      socket.once("close", events.end);
      resolve({ send: (data) => void socket.write(data), lose: () => socket.resetAndDestroy() });
    });
  });
}

function overWebSocket(port: number, events: Events, chosen: (name: string) => void): Promise<Wire> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/mqtt`, "mqtt");
    socket.once("error", reject);
    socket.once("open", () => {
      chosen(socket.protocol);
      socket.on("error", () => {});
      socket.on("message", (data: Buffer) => events.data(data));
      socket.once("close", events.end);
      resolve({ send: (data) => socket.send(data), lose: () => socket.terminate() });
    });
  });
}
