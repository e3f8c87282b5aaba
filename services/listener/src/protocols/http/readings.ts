/** Puts the readings of one request into their lane: one, an array's, or a stream's. */
import { isUtf8 } from "node:buffer";
import { type Channel, type EnvelopeExtras, envelopeIdOf } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { Identity } from "../../core/admission.js";
import type { LaneIndex } from "../../core/channel-table.js";
import type { Ingress } from "../../core/ingress.js";
import { forEachElement, isJson, skipSpace } from "../../core/json-scan.js";
import type { LineHandler } from "../../core/line-cutter.js";
import type { RequestExtras } from "./request-extras.js";
import type { RequestTicket } from "./ticket.js";

const NOT_JSON = "not one JSON value in UTF-8";

/** What the readings of one request have in common. */
export interface ReadingScope {
  readonly ingress: Ingress;
  readonly identity: Identity;
  readonly channel: Channel;
  readonly lane: LaneIndex;
  readonly headers: RequestExtras;
  readonly ticket: RequestTicket;
}

/** One per request. */
export class Readings implements LineHandler {
  /** Readings taken so far, for the connection's rate. */
  taken = 0;

  constructor(private readonly scope: ReadingScope) {}

  /** @throws AppError `contract.bad_payload` when the body is no JSON */
  json(body: Buffer): void {
    const first = skipSpace(body, 0, body.length);
    if (!isUtf8(body) || !isJson(body, first, body.length)) {
      throw new AppError("contract.bad_payload", `the body is ${NOT_JSON}`);
    }
    if (body[first] !== 0x5b) {
      let end = body.length;
      while (skipSpace(body, end - 1, end) === end) end -= 1;
      this.take(body, first, end, 0);
      return;
    }
    let place = 0;
    forEachElement(body, first, body.length, (from, to) => this.take(body, from, to, ++place));
    if (place === 0) throw new AppError("contract.bad_payload", "the array holds no reading");
  }

  raw(body: Buffer): void {
    this.take(body, 0, body.length, 0);
  }

  onLine(bytes: Buffer, start: number, end: number, number: number): void {
    if (isJson(bytes, start, end) && this.isText(bytes, start, end)) this.take(bytes, start, end, number);
    else this.refuse(number, "contract.bad_payload", NOT_JSON);
  }

  onLongLine(number: number): void {
    this.refuse(number, "limit.frame_too_large", "a line longer than maxBody");
  }

  private refuse(line: number, code: string, detail: string): void {
    this.scope.ingress.refuse(this.scope.lane, code);
    this.scope.ticket.refuse(line, code, detail);
  }

  private isText(bytes: Buffer, start: number, end: number): boolean {
    for (let i = start; i < end; i++) {
      if (bytes[i]! > 0x7f) return isUtf8(bytes.subarray(start, end));
    }
    return true;
  }

  /** @param place line or place in the array; 0 for the only reading */
  private take(bytes: Buffer, start: number, end: number, place: number): void {
    const { ingress, channel, lane, ticket } = this.scope;
    const extras = this.extrasOf(place);
    this.taken += 1;
    if (lane === 1) {
      ticket.expect();
      ingress.event(channel, bytes, start, end, ticket, place, extras);
      return;
    }
    if (extras === undefined) ingress.telemetry(channel, bytes, start, end);
    else ingress.telemetryWith(channel, bytes, start, end, extras);
    ticket.accepted += 1;
  }

  private extrasOf(place: number): EnvelopeExtras | undefined {
    const { headers, identity } = this.scope;
    const { extras, idempotencyKey } = headers;
    if (idempotencyKey === undefined) return extras;
    const { tenant, deviceId } = identity;
    const id = envelopeIdOf(tenant, deviceId, place === 0 ? idempotencyKey : `${idempotencyKey}/${place}`);
    return { ...extras, id, senderId: true };
  }
}
