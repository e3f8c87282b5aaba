/**
 * QoS 2 messages of the broker: the home of the bridge's session writes down that one begins, and under which id, before it is stored. So one
 * that is sent again is known, also by the listener that runs the bridge next. See ADR 0010.
 */
import { randomFillSync } from "node:crypto";
import type { Channel, EnvelopeExtras } from "@myelin/contract";
import type { KeptSession } from "../../core/session-home.js";

/** A message on its way into the event lane. */
export interface Beginning {
  readonly channel: Channel;
  readonly payload: Buffer;
  readonly extras: EnvelopeExtras;
}

/** `known`: it began over an earlier connection, and may be stored. `taken`: it waits for its record, or is being stored. */
type State =
  | { readonly is: "known"; readonly id: Uint8Array }
  | { readonly is: "taken" }
  | { readonly is: "stored" };

/** A message that waits for its record, or for that of one before it. */
interface Waiting {
  readonly number: number;
  readonly message: Beginning;
}

/** In a message's number, above the 16 bits of a packet identifier: it is one of QoS 2. */
export const QOS2_BIT = 0x1_0000;

const TAKEN: State = { is: "taken" };
const STORED: State = { is: "stored" };
const ID_BYTES = 16;
const TIME_BYTES = 6;

export class Handshakes {
  /** Bytes of messages that wait for their home. */
  waitingBytes = 0;
  private readonly states = new Map<number, State>();
  /** Released, and not recorded as free. */
  private readonly releasing = new Set<number>();
  /** Oldest first: they are stored in this order. */
  private readonly waiting = new Set<Waiting>();
  /** Those whose home has not said yet that it has written them down, by their packet identifiers. */
  private readonly unrecorded = new Map<number, Waiting>();

  constructor(
    private readonly kept: KeptSession,
    private readonly wallMs: () => number,
    private readonly store: (number: number, message: Beginning) => void,
  ) {
    for (const { packetId, id, isStored } of kept.incoming) {
      this.states.set(packetId, isStored ? STORED : { is: "known", id });
    }
  }

  /** Messages that wait. */
  get size(): number {
    return this.waiting.size;
  }

  /** Has it been taken already? `stored`: it may be answered again. */
  seen(packetId: number): "stored" | "busy" | undefined {
    const state = this.states.get(packetId);
    if (state === undefined || state.is === "known") return undefined;
    return state.is === "stored" ? "stored" : "busy";
  }

  /** A message of QoS 2 that has not been seen. */
  begin(packetId: number, message: Beginning): void {
    const before = this.states.get(packetId);
    const isRecorded = before?.is === "known";
    const id = isRecorded ? before.id : newId(this.wallMs());
    const named = { ...message, extras: { ...message.extras, id, senderId: true } };
    this.states.set(packetId, TAKEN);
    const waiting = { number: packetId + QOS2_BIT, message: named };
    if (!isRecorded) this.unrecorded.set(packetId, waiting);
    this.queue(waiting);
    if (!isRecorded) this.kept.receiving(packetId, id);
  }

  /** A message of QoS 1: stored now, or behind those that came before it. */
  follow(packetId: number, message: Beginning): void {
    this.queue({ number: packetId, message });
  }

  /** As `SessionHolder.incomingRecorded`. */
  recorded(packetId: number): void {
    this.unrecorded.delete(packetId);
    const [first] = this.unrecorded.values();
    for (const waiting of this.waiting) {
      if (waiting === first) return;
      this.waiting.delete(waiting);
      this.waitingBytes -= waiting.message.payload.length;
      this.store(waiting.number, waiting.message);
    }
  }

  stored(packetId: number): void {
    this.states.set(packetId, STORED);
    this.kept.stored(packetId);
  }

  /** PUBREL. False: nothing was known of it, so nothing is to be recorded; otherwise `SessionHolder.sendPubcomp` follows. */
  release(packetId: number): boolean {
    if (!this.states.delete(packetId)) return this.releasing.has(packetId);
    this.releasing.add(packetId);
    this.kept.forget(packetId);
    return true;
  }

  /** As `SessionHolder.sendPubcomp`; false: the broker did not ask for it. */
  completed(packetId: number): boolean {
    return this.releasing.delete(packetId);
  }

  /** The broker has forgotten the session: its identifiers mean nothing any more. */
  forget(): void {
    for (const packetId of this.states.keys()) this.kept.forget(packetId);
    this.states.clear();
  }

  private queue(waiting: Waiting): void {
    if (this.unrecorded.size === 0) {
      this.store(waiting.number, waiting.message);
      return;
    }
    this.waiting.add(waiting);
    this.waitingBytes += waiting.message.payload.length;
  }
}

/** Time first, as all ids. */
function newId(wallMs: number): Buffer {
  const id = Buffer.allocUnsafe(ID_BYTES);
  id.writeUIntBE(wallMs, 0, TIME_BYTES);
  randomFillSync(id, TIME_BYTES);
  return id;
}
