/** What a unit may still say, after it was asked in vain. */
import { isRead, replyLength } from "./pdu.js";

/**
 * RTU has no transaction numbers: a reply that comes too late looks like the reply to the next request of the same shape.
 * A unit answers in the order in which it was asked. So after a request without an answer no reply of its shape is
 * trusted, until the unit has answered one of another shape, which we ask for as a *probe*: everything older has come or
 * never will.
 */
export class LateGuard {
  readonly #pending = new Set<string>();

  /** Whether the reply to this request could be taken for that of an older one. */
  suspects(pdu: Uint8Array): boolean {
    return this.#pending.size > 0 && this.#pending.has(shapeOf(pdu));
  }

  /** A request has ended without its answer. */
  unanswered(pdu: Uint8Array): void {
    this.#pending.add(shapeOf(pdu));
  }

  /** A reply of a trusted shape has come. An exception may be that of an older request, so its own reply may still come. */
  answered(pdu: Uint8Array, byException: boolean): void {
    if (this.#pending.size === 0) return;
    this.#pending.clear();
    if (byException) this.#pending.add(shapeOf(pdu));
  }

  /** A read near what `pdu` is about, whose reply looks like no other that may still come. It changes nothing in the unit. */
  probe(pdu: Uint8Array): Uint8Array {
    const fn = pdu[0] as number;
    const isCoils = fn === 1 || fn === 2 || fn === 5 || fn === 15;
    const readFn = fn <= 4 ? fn : isCoils ? 1 : 3;
    const step = isCoils ? 8 : 1;
    const asked = fn <= 4 ? ((pdu[3] as number) << 8) | (pdu[4] as number) : 0;
    const probe = Uint8Array.of(readFn, pdu[1] as number, pdu[2] as number, 0, 0);
    // Shorter reads first: a longer one may leave what the unit has, and end by an exception, which is an answer too.
    for (let less = asked - step; less >= 1; less -= step) if (this.#isFresh(probe, less)) return probe;
    for (let more = Math.max(1, asked); more <= 125; more += step)
      if (this.#isFresh(probe, more)) return probe;
    return probe;
  }

  #isFresh(probe: Uint8Array, quantity: number): boolean {
    probe[3] = quantity >> 8;
    probe[4] = quantity & 0xff;
    return !this.#pending.has(shapeOf(probe));
  }
}

/** Requests of one shape have replies that only their data tell apart. */
function shapeOf(pdu: Uint8Array): string {
  const fn = pdu[0] as number;
  return isRead(fn) ? `${fn}/${replyLength(pdu)}` : pdu.subarray(0, replyLength(pdu)).join(" ");
}
