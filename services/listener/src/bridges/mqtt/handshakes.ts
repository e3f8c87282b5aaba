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

/** `known`: it began over an earlier connection, and may be stored. */
type State =
  | { readonly is: "known"; readonly id: Uint8Array }
  | { readonly is: "begins"; readonly message: Beginning; isRecorded: boolean }
  | { readonly is: "storing" }
  | { readonly is: "stored" };

const STORING: State = { is: "storing" };
const STORED: State = { is: "stored" };
const ID_BYTES = 16;
const TIME_BYTES = 6;

export class Handshakes {
  /** Bytes of messages that wait for their home. */
  waitingBytes = 0;
  private readonly states = new Map<number, State>();
  /** Released, and not recorded as free. */
  private readonly releasing = new Set<number>();
  /** Packet identifiers of those that wait for their home, oldest first: they are stored in this order. */
  private readonly waiting = new Set<number>();

  constructor(
    private readonly kept: KeptSession,
    private readonly wallMs: () => number,
    private readonly store: (packetId: number, message: Beginning) => void,
  ) {
    for (const { packetId, id, isStored } of kept.incoming) {
      this.states.set(packetId, isStored ? STORED : { is: "known", id });
    }
  }

  /** Messages that wait for their home. */
  get size(): number {
    return this.waiting.size;
  }

  /** Has it been taken already? `stored`: it may be answered again. */
  seen(packetId: number): "stored" | "busy" | undefined {
    const state = this.states.get(packetId);
    if (state === undefined || state.is === "known") return undefined;
    return state.is === "stored" ? "stored" : "busy";
  }

  begin(packetId: number, message: Beginning): void {
    const { kept, waiting, states } = this;
    const before = states.get(packetId);
    const isRecorded = before?.is === "known";
    const id = isRecorded ? before.id : newId(this.wallMs());
    const named = { ...message, extras: { ...message.extras, id, senderId: true } };
    if (isRecorded && waiting.size === 0) {
      this.pass(packetId, named);
      return;
    }
    states.set(packetId, { is: "begins", message: named, isRecorded });
    waiting.add(packetId);
    this.waitingBytes += message.payload.length;
    if (!isRecorded) kept.receiving(packetId, id);
  }

  /** As `SessionHolder.incomingRecorded`. */
  recorded(packetId: number): void {
    const recorded = this.states.get(packetId);
    if (recorded?.is === "begins") recorded.isRecorded = true;
    for (const id of this.waiting) {
      const state = this.states.get(id);
      if (state?.is !== "begins" || !state.isRecorded) return;
      this.waiting.delete(id);
      this.waitingBytes -= state.message.payload.length;
      this.pass(id, state.message);
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

  private pass(packetId: number, message: Beginning): void {
    this.states.set(packetId, STORING);
    this.store(packetId, message);
  }
}

/** Time first, as all ids. */
function newId(wallMs: number): Buffer {
  const id = Buffer.allocUnsafe(ID_BYTES);
  id.writeUIntBE(wallMs, 0, TIME_BYTES);
  randomFillSync(id, TIME_BYTES);
  return id;
}
