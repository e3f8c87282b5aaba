/** What a client has said in CONNECT about what it takes. */
import type { Version } from "./codec/connect.js";
import type { Properties } from "./codec/properties.js";

/** Largest packet that MQTT can express. */
export const MAX_PACKET_BYTES = 268_435_460;

export interface ClientOffer {
  /** Messages above QoS 0 that it takes without having acknowledged them. */
  readonly receiveMaximum: number;
  /** Bytes of the largest packet it takes. */
  readonly maximumPacketSize: number;
  /** Highest topic alias it takes; 0: none. */
  readonly topicAliasMaximum: number;
  /** False: reason strings and user properties only where it cannot do without. */
  readonly wantsProblems: boolean;
  /** An earlier session of it is to be discarded. */
  readonly clean: boolean;
  /** Seconds that it asked its session to stay for after the connection; 0xffffffff: for ever. */
  readonly sessionExpiry: number;
}

/** A client that says nothing: one object for all of them. */
export const ANY_OFFER: ClientOffer = {
  receiveMaximum: 65_535,
  maximumPacketSize: MAX_PACKET_BYTES,
  topicAliasMaximum: 0,
  wantsProblems: false,
  clean: true,
  sessionExpiry: 0,
};

const SILENT_5: ClientOffer = { ...ANY_OFFER, wantsProblems: true };
const RESUMING_5: ClientOffer = { ...SILENT_5, clean: false };

/** Before MQTT 5 a session that is not clean stays for ever (3.1.1, 3.1.2.4). */
const FOR_EVER: ClientOffer = { ...ANY_OFFER, clean: false, sessionExpiry: 0xffff_ffff };

/** Shares one object between the clients that say nothing. */
export function offerOf(version: Version, clean: boolean, p: Properties): ClientOffer {
  if (version < 5) return clean ? ANY_OFFER : FOR_EVER;
  const silent = clean ? SILENT_5 : RESUMING_5;
  if (
    p.receiveMaximum === undefined &&
    p.maximumPacketSize === undefined &&
    p.topicAliasMaximum === undefined &&
    p.requestProblemInformation === undefined &&
    p.sessionExpiry === undefined
  ) {
    return silent;
  }
  return {
    receiveMaximum: p.receiveMaximum ?? silent.receiveMaximum,
    maximumPacketSize: Math.min(p.maximumPacketSize ?? MAX_PACKET_BYTES, MAX_PACKET_BYTES),
    topicAliasMaximum: p.topicAliasMaximum ?? 0,
    wantsProblems: p.requestProblemInformation !== 0,
    clean,
    sessionExpiry: p.sessionExpiry ?? 0,
  };
}
