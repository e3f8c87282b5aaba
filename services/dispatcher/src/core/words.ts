/** The words of resources and their numbers on the wire. */
import { Kind, Lane, Protocol } from "@myelin/contract";

/** Protocols as routes, taps and records name them. */
export const PROTOCOL_WORDS = {
  mqtt: Protocol.MQTT,
  http: Protocol.HTTP,
  websocket: Protocol.WEBSOCKET,
  tcp: Protocol.TCP,
  udp: Protocol.UDP,
  app: Protocol.APP,
  hardware: Protocol.HARDWARE,
  bridge: Protocol.BRIDGE,
} as const;

/** Message kinds as routes and records name them. */
export const KIND_WORDS = {
  telemetry: Kind.TELEMETRY,
  event: Kind.EVENT,
  command: Kind.COMMAND,
  response: Kind.RESPONSE,
  shadow: Kind.SHADOW,
  presence: Kind.PRESENCE,
} as const;

export type ProtocolWord = keyof typeof PROTOCOL_WORDS;
export type KindWord = keyof typeof KIND_WORDS;

/** The two lanes the dispatcher carries, as the ledger and metrics name them. */
export type LaneWord = "telemetry" | "event";

const PROTOCOL_NAMES = invert(PROTOCOL_WORDS);
const KIND_NAMES = invert(KIND_WORDS);

/** The word of a protocol number; empty for one that has none. */
export function protocolWord(protocol: Protocol): string {
  return PROTOCOL_NAMES.get(protocol) ?? "";
}

/** The word of a kind number; empty for one that has none. */
export function kindWord(kind: Kind): string {
  return KIND_NAMES.get(kind) ?? "";
}

/** The word of a lane; everything that is not the event lane is carried as telemetry. */
export function laneWord(lane: Lane): LaneWord {
  return lane === Lane.EVENT ? "event" : "telemetry";
}

function invert(words: Readonly<Record<string, number>>): Map<number, string> {
  return new Map(Object.entries(words).map(([word, number]) => [number, word]));
}
