/** One connection to a broker, by MQTT.js, whose acknowledgements are ours to give. */
import { type BridgeSpec, resolveSecret } from "@myelin/config";
import { MAX_PAYLOAD_BYTES } from "@myelin/contract";
import { AppError, type Clock } from "@myelin/kernel";
import { connect, type IClientOptions, type MqttClient, Store } from "mqtt";
import {
  generate,
  type IConnackPacket,
  type IPublishPacket,
  type ISubackPacket,
  type Packet,
} from "mqtt-packet";
import { FIRST_LOCAL_PACKET_ID } from "../../core/session-home.js";

export type RemoteSpec = BridgeSpec["remote"]["mqtt"];

/** First bytes of the packets that a side answers with. */
export const ANSWER = { puback: 0x40, pubrec: 0x50, pubrel: 0x62, pubcomp: 0x70 } as const;
export type Answer = (typeof ANSWER)[keyof typeof ANSWER];

/** What the broker takes. */
export interface Offer {
  /** It knows the session, and what has waited in it comes now. */
  readonly sessionPresent: boolean;
  /** Messages above QoS 0 without an acknowledgement. */
  readonly receiveMaximum: number;
  readonly maximumPacketSize: number;
  readonly maximumQos: 0 | 1 | 2;
  readonly retainAvailable: boolean;
}

/** The bridge's end of the connection. */
export interface RemoteSink {
  /** CONNACK: before any message. */
  accepted(offer: Offer): void;
  /** Nothing more is read until `next` is called, once. */
  published(packet: IPublishPacket, next: () => void): void;
  released(packetId: number): void;
  /** Of a message to the broker. `reason` is 0 before MQTT 5. */
  answered(answer: "puback" | "pubrec" | "pubcomp", packetId: number, reason: number): void;
  /** Bytes are taken again after `write` returned false. */
  drained(): void;
  /** It is over, or never began; called once. */
  closed(error: AppError): void;
}

/** Messages above QoS 0 that the broker may send without an acknowledgement. */
export const RECEIVE_MAXIMUM = 2_000;
/** A broker that cannot tell may hold back what is more than what it is used to, Mosquitto for example PUBREC, and for ever. */
const WINDOW_BEFORE_5 = 20;
const NEVER = 0xffff_ffff;
const GOODBYE_MS = 1_000;
/** Of the largest message that is taken: topic and properties come on top of the payload. */
const MAX_PACKET_BYTES = MAX_PAYLOAD_BYTES + 256 * 1024;
const MAX_REMAINING_LENGTH = 268_435_455;

/** Says to MQTT.js that the answer to a packet is given later, by us. */
const TAKEN = new Error("taken");
/** What MQTT.js is handed for PUBREL: the message itself was passed on long ago. */
const RELEASED: IPublishPacket = {
  cmd: "publish",
  topic: "",
  payload: "",
  qos: 2,
  dup: false,
  retain: false,
};

export class Remote {
  private error: AppError | undefined;
  private isClosed = false;

  private constructor(
    private readonly client: MqttClient,
    private readonly sink: RemoteSink,
    private readonly where: string,
    private readonly clock: Clock,
  ) {}

  /** Reads the secrets, and begins to connect. @throws AppError `config.unreadable` */
  static async open(spec: RemoteSpec, clientId: string, sink: RemoteSink, clock: Clock): Promise<Remote> {
    const options = await optionsOf(spec, clientId, (packetId) => sink.released(packetId));
    const remote = new Remote(connect(spec.url, options), sink, spec.url, clock);
    remote.listen();
    return remote;
  }

  /** Bytes on the way to the broker. */
  get waiting(): number {
    return this.client.stream?.writableLength ?? 0;
  }

  /** False: more should wait for `drained`. */
  write(bytes: Uint8Array): boolean {
    return this.isClosed || this.client.stream.write(bytes);
  }

  /** The packet as bytes, of the version that is spoken. */
  encode(packet: Packet): Buffer {
    return generate(packet, { protocolVersion: this.client.options.protocolVersion });
  }

  /**
   * Resolves with the filters that were refused.
   * @throws AppError `target.unavailable` when the connection ends before the answer
   */
  subscribe(filters: readonly { filter: string; qos: 0 | 1 | 2 }[]): Promise<string[]> {
    const wanted = Object.fromEntries(
      filters.map(({ filter, qos }) => [filter, { qos, nl: true, rap: true, rh: 0 }]),
    );
    return new Promise((resolve, reject) => {
      this.client.subscribe(wanted, (error, _granted, packet) => {
        const codes = (packet as ISubackPacket | undefined)?.granted as readonly number[] | undefined;
        if (codes !== undefined) resolve(Object.keys(wanted).filter((_, i) => (codes[i] ?? 0x80) >= 0x80));
        else reject(this.failure(error ?? new Error("no answer")));
      });
    });
  }

  /** For filters that are no longer wanted; not waited for, since nothing depends on it. */
  unsubscribe(filters: readonly string[]): void {
    if (filters.length > 0) this.client.unsubscribe([...filters], () => undefined);
  }

  /** Says goodbye, sends what is waiting, and closes. */
  end(): void {
    // By the library it would wait for the answers to its requests, however long.
    const timer = this.clock.setTimeout(() => this.destroy(), GOODBYE_MS);
    this.client.stream.end(this.encode({ cmd: "disconnect" }), () => {
      this.clock.clear(timer);
      this.destroy();
    });
  }

  destroy(): void {
    this.client.end(true, () => undefined);
  }

  private listen(): void {
    const { client, sink } = this;
    client.on("packetreceive", (packet) => this.onPacket(packet));
    client.on("error", (error) => {
      if (error !== TAKEN) this.error ??= this.failure(error);
    });
    client.on("disconnect", ({ reasonCode }) => {
      this.error ??= refused(this.where, reasonCode ?? 0, "has ended the connection");
    });
    client.once("close", () => {
      this.isClosed = true;
      sink.closed(
        this.error ?? new AppError("target.unavailable", `${this.where} has closed the connection`),
      );
    });
    // MQTT.js answers when the callback is called without an error, one message after the other. A message is stored with others in a batch,
    // so reading goes on meanwhile, and the answers are written when the batch is there.
    client.options.customHandleAcks = (_topic, _message, packet, next) => {
      sink.published(packet as IPublishPacket, () => next(TAKEN));
    };
    client.handleMessage = (packet, next) => {
      if (packet === RELEASED) next(TAKEN);
      else sink.published(packet, () => next());
    };
    client.connect();
    client.stream.on("drain", () => sink.drained());
  }

  private onPacket(packet: Packet): void {
    const { sink } = this;
    switch (packet.cmd) {
      case "connack":
        if ((packet.reasonCode ?? packet.returnCode ?? 0) === 0) {
          sink.accepted(offerOf(packet, this.client.options.protocolVersion === 5));
        }
        return;
      case "puback":
      case "pubrec":
      case "pubcomp":
        sink.answered(packet.cmd, packet.messageId ?? 0, packet.reasonCode ?? 0);
        return;
      default:
    }
  }

  private failure(thrown: Error): AppError {
    if (AppError.is(thrown)) return thrown;
    const { code } = thrown as { code?: unknown };
    if (typeof code === "number") return refused(this.where, code, `refuses the bridge: ${thrown.message}`);
    if (typeof code === "string" && /^ERR_SSL_|CERT|SIGNATURE|ISSUER/.test(code)) {
      return new AppError("target.unavailable", secureTrouble(this.where, code, thrown), {
        cause: thrown,
        details: { reason: code },
      });
    }
    return new AppError("target.unavailable", `${this.where} cannot be reached: ${thrown.message}`, {
      cause: thrown,
    });
  }
}

function refused(where: string, reason: number, what: string): AppError {
  return new AppError("target.unavailable", `${where} ${what} (reason code ${reason})`, {
    details: { reason },
  });
}

/** The messages of OpenSSL itself hold addresses, source lines and line breaks; its reason is a phrase. */
function secureTrouble(where: string, code: string, thrown: Error & { readonly reason?: unknown }): string {
  if (!code.startsWith("ERR_SSL_")) return `the certificate of ${where} is not accepted: ${thrown.message}`;
  return `${where} and the bridge do not agree on TLS: ${String(thrown.reason ?? code)}`;
}

function offerOf({ sessionPresent, properties = {} }: IConnackPacket, isVersion5: boolean): Offer {
  const {
    receiveMaximum = isVersion5 ? 65_535 : WINDOW_BEFORE_5,
    maximumPacketSize = MAX_REMAINING_LENGTH,
    maximumQoS = 2,
  } = properties;
  return {
    sessionPresent,
    receiveMaximum,
    maximumPacketSize,
    maximumQos: maximumQoS as 0 | 1 | 2,
    retainAvailable: properties.retainAvailable !== false,
  };
}

async function optionsOf(
  spec: RemoteSpec,
  clientId: string,
  onReleased: (packetId: number) => void,
): Promise<IClientOptions> {
  const { user, password, tls, keepAlive, connectTimeout } = spec;
  const text = async (reference: NonNullable<typeof password> | undefined): Promise<string | undefined> =>
    reference === undefined ? undefined : (await resolveSecret(reference)).reveal();
  const [secret, ca, cert, key] = await Promise.all([password, tls?.ca, tls?.cert, tls?.key].map(text));
  const secured = {
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && key !== undefined && { cert, key }),
    ...(tls?.serverName !== undefined && { servername: tls.serverName }),
    minVersion: tls?.minVersion ?? "TLSv1.3",
    rejectUnauthorized: true,
  };
  const isSecure = /^(mqtts|wss):/.test(spec.url);
  return {
    clientId,
    clean: false,
    protocolVersion: spec.version === "5" ? 5 : 4,
    keepalive: Math.ceil(keepAlive / 1_000),
    connectTimeout,
    // Each connection is a client of its own: the session of the bridge, not the library, remembers what was not acknowledged.
    reconnectPeriod: 0,
    resubscribe: false,
    manualConnect: true,
    incomingStore: new Handshakes(onReleased),
    messageIdProvider: new RequestIds(),
    // Its own lines hold whole packets, CONNECT with the password included.
    log: () => undefined,
    ...(user !== undefined && { username: user }),
    ...(secret !== undefined && { password: secret }),
    ...(isSecure && secured),
    ...(isSecure && spec.url.startsWith("wss:") && { wsOptions: secured }),
    ...(spec.version === "5" && {
      properties: {
        sessionExpiryInterval: NEVER,
        receiveMaximum: RECEIVE_MAXIMUM,
        maximumPacketSize: MAX_PACKET_BYTES,
      },
    }),
  };
}

/** Tells of PUBREL. What MQTT.js would keep until then is with the bridge's session. */
class Handshakes extends Store {
  constructor(private readonly onReleased: (packetId: number) => void) {
    super();
  }

  override get(...[packet, done]: Parameters<Store["get"]>): this {
    this.onReleased(packet.messageId ?? 0);
    done(undefined, RELEASED);
    return this;
  }
}

/** Identifiers of SUBSCRIBE and UNSUBSCRIBE: those of messages are given by the home of the bridge's session, below. */
class RequestIds {
  private last = FIRST_LOCAL_PACKET_ID - 1;

  allocate(): number {
    this.last = this.last >= 0xffff ? FIRST_LOCAL_PACKET_ID : this.last + 1;
    return this.last;
  }

  getLastAllocated(): number {
    return this.last;
  }

  register(): boolean {
    return true;
  }

  deallocate(): void {
    // The next one is another in any case: there are never as many under way as there are numbers.
  }

  clear(): void {
    this.last = FIRST_LOCAL_PACKET_ID - 1;
  }
}
