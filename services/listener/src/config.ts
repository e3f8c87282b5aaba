/** Settings of the listener, put together from those of its plugins. */
import { bytes, durationMs, type Infer, integer, object, oneOf, record, type Schema } from "@myelin/config";
import { admissions } from "./admission/registry.js";
import type { AnyProtocolPlugin } from "./core/protocol.js";
import { protocols } from "./protocols/registry.js";

const MAX_PORTS_PER_PROTOCOL = 64;

const general = {
  onStartError: oneOf(["fail", "retry", "skip"], {
    default: "retry",
    description:
      "What a port that cannot be opened does: end the start, be tried again, or be left out visibly.",
  }),
  maxConnections: integer({
    default: 200_000,
    minimum: 1,
    maximum: 10_000_000,
    description: "Connections of all ports of this process; more are closed at once.",
  }),
  maxConnectionsPerAddress: integer({
    default: 200_000,
    minimum: 1,
    maximum: 10_000_000,
    description: "Connections of one remote address; more are closed at once.",
  }),
  deviceRatePerSecond: integer({
    default: 0,
    minimum: 0,
    maximum: 10_000_000,
    description:
      "Messages per second of one device over all its connections. Beyond it reading from them pauses, and datagrams are dropped and counted; 0 sets no limit.",
  }),
  deviceRateBurst: integer({
    default: 1000,
    minimum: 1,
    maximum: 10_000_000,
    description:
      "Messages a device may send at once when it was silent before; counts with deviceRatePerSecond only.",
  }),
  maxHeldBytes: bytes({
    default: "64MiB",
    min: "1MiB",
    max: "4GiB",
    description:
      "Bytes read and kept while the bus is congested; beyond it messages are dropped and counted.",
  }),
  rememberedDisconnects: integer({
    default: 10_000,
    minimum: 0,
    maximum: 1_000_000,
    description: "How many devices' last disconnections are remembered with time and reason.",
  }),
  channelsPerConnection: integer({
    default: 4096,
    minimum: 1,
    maximum: 1_000_000,
    description: "Topics whose channel one connection keeps for itself; more share the table below.",
  }),
  sharedChannels: integer({
    default: 262_144,
    minimum: 1024,
    maximum: 16_777_216,
    description: "Topics beyond that, of all connections; the least recently used ones go first.",
  }),
  newTopicsPerSecond: integer({
    default: 1000,
    minimum: 0,
    maximum: 10_000_000,
    description:
      "Topics per second that one connection may use for the first time, or again after its tables forgot them. Beyond it reading from it pauses; where nobody can be told to wait, it is refused with limit.rate. 0 sets no limit.",
  }),
  newTopicBurst: integer({
    default: 100_000,
    minimum: 1,
    maximum: 10_000_000,
    description: "Topics that may be new at once; counts with newTopicsPerSecond only.",
  }),
  maxWaitingDownlinks: integer({
    default: 10_000,
    minimum: 1,
    maximum: 1_000_000,
    description: "Messages for devices that wait for an acknowledgement; more are refused.",
  }),
  mcpSessions: object(
    {
      resumeWindow: durationMs({
        default: "5m",
        min: "0s",
        max: "24h",
        description: "How long a session outlives its connection and may be resumed; 0s ends it at once.",
      }),
      maxSuspended: integer({
        default: 100_000,
        minimum: 0,
        maximum: 10_000_000,
        description: "Sessions without a connection; beyond it the one that lost its connection first ends.",
      }),
      maxMessages: integer({
        default: 256,
        minimum: 1,
        maximum: 100_000,
        description: "Messages kept for one device until it acknowledges them; more are refused.",
      }),
      maxBytes: bytes({
        default: "1MiB",
        min: "1KiB",
        max: "256MiB",
        description: "Bytes of these messages; more are refused.",
      }),
    },
    { description: "Sessions of MCP devices over TCP, UDP and WebSocket." },
  ),
  sysInterval: durationMs({
    default: "10s",
    min: "0s",
    max: "1h",
    description:
      "How often the topics below $SYS/broker are told to those who have subscribed to them; 0 leaves them out.",
  }),
  drainTimeout: durationMs({
    default: "3s",
    min: "0s",
    max: "1m",
    description: "How long a stop waits for events to be stored, and then for clients to close.",
  }),
} as const;

const generalSchema = object(general);

/** Settings that are the same whatever protocols there are. */
export type GeneralConfig = Infer<typeof generalSchema>;

/** The whole of it; `protocols` and `admission` hold what the plugins' own schemas have checked. */
export interface ListenerConfig extends GeneralConfig {
  /** By protocol, then by port name. */
  readonly protocols: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** One field: the kind. */
  readonly admission: Readonly<Record<string, unknown>>;
}

/** The schema with all plugins in it. Loads their schemas, and nothing else of them. */
export async function listenerSchema(): Promise<Schema<ListenerConfig>> {
  const ports: Record<string, Schema> = {};
  for (const [kind, load] of Object.entries(protocols)) {
    const plugin: AnyProtocolPlugin = (await load()).plugin;
    ports[kind] = record(plugin.schema, {
      description: `Ports that speak ${kind}, by name; the name is part of every message and unique over all protocols.`,
      maxProperties: MAX_PORTS_PER_PROTOCOL,
      default: plugin.defaultPorts ?? { [kind]: {} },
    });
  }
  const kinds: Record<string, Schema> = {};
  for (const [kind, load] of Object.entries(admissions)) kinds[kind] = (await load()).plugin.schema;
  return object({
    ...general,
    protocols: object(ports, { description: "What is spoken where." }),
    admission: object(kinds, { description: "Who may connect and do what." }),
  }) as Schema as Schema<ListenerConfig>;
}
