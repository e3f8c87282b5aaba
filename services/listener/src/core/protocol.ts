/** What a protocol is to the listener: a folder with a schema and a `create`, and the ports it makes. */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type {
  AlarmClient,
  AppClient,
  DeviceCommandClient,
  DeviceRegistryClient,
  FlowClient,
  ShadowClient,
} from "@myelin/bus";
import type { Schema } from "@myelin/config";
import type { Clock, Component } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import type { Admission } from "./admission.js";
import type { ByteStream, StreamPeer, StreamSink } from "./byte-stream.js";
import type { ConnectionManager, TransportRefusal } from "./connection-manager.js";
import type { DownlinkClient } from "./downlink-client.js";
import type { HistoryClient } from "./history-client.js";
import type { Ingress } from "./ingress.js";
import type { McpSessions } from "./mcp/mcp-sessions.js";
import type { ListenerMetrics } from "./metrics.js";
import type { OperationsClient } from "./operations-client.js";
import type { TraceHub } from "./operations-trace.js";
import type { RetainedMessages } from "./retained.js";
import type { Sessions } from "./session.js";
import type { SessionHomes } from "./session-home.js";
import type { Subscriptions } from "./subscriptions.js";
import type { WillKeeper } from "./will-keeper.js";

/** Everything a port gets from outside; nothing else is reached for. */
export interface ProtocolContext {
  /** Name of the port in the configuration; part of every envelope's head. */
  readonly port: string;
  /**
   * False: the port binds nothing, connections are handed to it (`handleSocket`, `handleStream`); its `host` and `port` settings
   * mean nothing then.
   */
  readonly listen: boolean;
  readonly log: Logger;
  readonly clock: Clock;
  readonly admission: Admission;
  readonly connections: ConnectionManager;
  readonly ingress: Ingress;
  readonly sessions: Sessions;
  readonly subscriptions: Subscriptions;
  /** Sends messages to devices, wherever they are connected. */
  readonly downlinks: DownlinkClient;
  /** Sessions of MCP devices, which outlive their connections. */
  readonly mcpSessions: McpSessions;
  /** Absent: every session ends with its connection. */
  readonly sessionHomes?: SessionHomes | undefined;
  /** What was published with `retain` set, for those who subscribe. */
  readonly retained: RetainedMessages;
  /** Wills of clients that may come back in time. */
  readonly wills: WillKeeper;
  /** Asks all listeners about clients, for operators. */
  readonly operations: OperationsClient;
  /** Asks the dispatchers what was stored, for operators. */
  readonly history: HistoryClient;
  /** Asks the owners of devices for what rules have raised, for operators. */
  readonly alarms: AlarmClient;
  /** Knows which apps and agents are there, for operators. */
  readonly apps: AppClient;
  /** Asks the owners of devices to command them, for operators. */
  readonly commands: DeviceCommandClient;
  /** Asks the owners of flows to run them, for operators. */
  readonly flows: FlowClient;
  /** Asks the owners of devices for their records, for operators. */
  readonly registry: DeviceRegistryClient;
  /** Asks the owners of devices for their shadows, for operators. */
  readonly shadows: ShadowClient;
  /** Who looks at the packets of clients. */
  readonly traces: TraceHub;
  readonly metrics: ListenerMetrics;
  /**
   * Makes a port of another protocol that listens to nothing and appears under this port's name: how `auto` hands sniffed
   * connections over and how MQTT runs inside WebSocket. Whoever embeds starts and stops it. `config` is completed with defaults.
   * @throws AppError `config.unknown_kind`
   */
  embed(kind: string, config?: Readonly<Record<string, unknown>>): Promise<ProtocolPort>;
  /**
   * As `embed`, with the settings of the port of that kind and name; `over` goes over them unchecked.
   * @throws AppError `config.invalid` when there is no such port
   */
  embedLike(kind: string, name: string, over: Readonly<Record<string, unknown>>): Promise<ProtocolPort>;
}

/** One named port of one protocol. */
export interface ProtocolPort extends Component {
  /**
   * Takes over a connection another port has accepted, with the bytes it has read; the socket is paused, has no listeners and
   * was counted by nobody. For `auto`.
   */
  handleSocket?(socket: Socket, head: Buffer): void;
  /** As `handleSocket`, for one that `TurnedAway` has admitted: tells it in the protocol's terms that there is no place. */
  refuseSocket?(socket: Socket, head: Buffer, refusal: TransportRefusal): void;
  /** Takes over an HTTP request that asks for an upgrade, as Node's `upgrade` event gives it. For `http`. */
  handleUpgrade?(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Speaks the protocol over a stream that somebody else owns, such as the messages of a WebSocket. */
  handleStream?(stream: ByteStream, peer: StreamPeer): StreamSink;
  /** Where it listens, for logs and for tests that ask for port 0; undefined before `start` and when embedded. */
  readonly bound?: { readonly host: string; readonly port: number } | undefined;
}

/** What a protocol's folder exports as `plugin`. `Config` is the static type of `schema`. */
export interface ProtocolPlugin<Config> {
  /** Registry key, folder name, `protocol` in the configuration, metric label. */
  readonly kind: string;
  /** Settings of one port, beside `protocol`; every field with default and description. */
  readonly schema: Schema<Config>;
  /** Ports that are opened when the configuration names none of this protocol; left out, one named like the protocol. */
  readonly defaultPorts?: Readonly<Record<string, object>>;
  /** No I/O. `config` is checked, complete and frozen. */
  create(config: Config, ctx: ProtocolContext): ProtocolPort | Promise<ProtocolPort>;
}

/** Key = folder = `protocol` of a port's configuration. */
export type ProtocolRegistry = Record<string, () => Promise<{ readonly plugin: AnyProtocolPlugin }>>;

/** A plugin whose settings are known to it alone: `create` is given what `schema` has checked. */
export interface AnyProtocolPlugin {
  readonly kind: string;
  readonly schema: Schema;
  readonly defaultPorts?: Readonly<Record<string, object>>;
  create(config: unknown, ctx: ProtocolContext): ProtocolPort | Promise<ProtocolPort>;
}
