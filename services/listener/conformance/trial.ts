/** One run of one case: a version, a transport, one listener or two, and the clients it has opened. */
import type { IConnackPacket, IConnectPacket, ISubscription } from "mqtt-packet";
import type { Ground } from "./ground.js";
import { type Level, PacketClient, type Transport } from "./packet-client.js";

/** Under what a case is run. */
export interface Setting {
  readonly level: Level;
  readonly transport: Transport;
  readonly listeners: 1 | 2;
}

/** Every setting of a version. */
export function settingsOf(level: Level): Setting[] {
  return (["TCP", "WebSocket"] as const).flatMap((transport) =>
    ([1, 2] as const).map((listeners) => ({ level, transport, listeners })),
  );
}

/** What CONNECT says beside the usual. */
export type ConnectOptions = Partial<Omit<IConnectPacket, "cmd" | "protocolVersion">>;

/** Publishers and whoever is alone are here; subscribers are there, which is another listener when there are two. */
export type Place = "here" | "there";

let names = 0;

export class Trial implements AsyncDisposable {
  readonly level: Level;
  readonly isV5: boolean;
  readonly transport: Transport;
  private readonly clients: PacketClient[] = [];
  private readonly prefix = this.name();

  constructor(
    private readonly ground: Ground,
    private readonly setting: Setting,
    private readonly patienceMs: number,
  ) {
    this.level = setting.level;
    this.isV5 = setting.level === 5;
    this.transport = setting.transport;
  }

  /** A client identifier that nobody else uses. */
  name(): string {
    names += 1;
    return `c${names.toString(36)}`;
  }

  /** A topic below a level that nobody else uses. */
  topic(rest: string): string {
    return `${this.prefix}/${rest}`;
  }

  /** A connection on which nothing was said yet; `level` is how answers are read. */
  async open(place: Place = "here", level: Level = this.level): Promise<PacketClient> {
    const { transport, listeners } = this.setting;
    const port = this.ground.port(place === "there" && listeners === 2 ? 1 : 0, transport);
    const client = await PacketClient.open({ transport, port, level, patienceMs: this.patienceMs });
    this.clients.push(client);
    return client;
  }

  /** Of the listener here. */
  portOf(transport: Transport): number {
    return this.ground.port(0, transport);
  }

  connectPacket(options: ConnectOptions = {}): IConnectPacket {
    return {
      cmd: "connect",
      protocolId: "MQTT",
      protocolVersion: this.level,
      clean: true,
      keepalive: 0,
      clientId: options.clientId ?? this.name(),
      ...options,
    };
  }

  /** A client whose CONNECT was accepted. */
  async connect(options: ConnectOptions = {}, place: Place = "here"): Promise<PacketClient> {
    const client = await this.open(place);
    client.send(this.connectPacket(options));
    const connack = await client.next("connack");
    if (codeOf(connack) !== 0) throw new Error(`not connected: ${JSON.stringify(connack)}`);
    client.connack = connack;
    return client;
  }

  /** A client that has subscribed, on the other listener where there are two. */
  async subscriber(
    subscriptions: string | readonly ISubscription[],
    options: ConnectOptions = {},
  ): Promise<PacketClient> {
    const client = await this.connect(options, "there");
    await this.subscribe(client, subscriptions);
    return client;
  }

  /** The codes of SUBACK; a bare filter asks for QoS 1. */
  async subscribe(
    client: PacketClient,
    subscriptions: string | readonly ISubscription[],
    properties?: { readonly subscriptionIdentifier: number },
  ): Promise<readonly number[]> {
    const items =
      typeof subscriptions === "string" ? [{ topic: subscriptions, qos: 1 as const }] : subscriptions;
    const complete = this.isV5 ? items.map((item) => ({ nl: false, rap: false, rh: 0, ...item })) : items;
    client.send({
      cmd: "subscribe",
      messageId: 7,
      subscriptions: [...complete],
      ...(properties !== undefined && { properties }),
    });
    const { granted } = await client.answer("suback");
    return granted as number[];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.clients) await client[Symbol.asyncDispose]();
  }
}

/** The return code or reason code of a CONNACK. */
export const codeOf = (connack: IConnackPacket): number => connack.reasonCode ?? connack.returnCode ?? 0;
