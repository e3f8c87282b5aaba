/** Modbus TCP on a connection: replies are told apart by their transaction, so late and doubled ones reach nobody. */
import { AppError, type Clock } from "@myelin/kernel";
import type { ByteLink, LineManners } from "../../links/link.js";
import { encodeMbap, MbapReader } from "./mbap.js";
import { OpenRequest } from "./open-request.js";
import { judgeReply } from "./pdu.js";
import type { Exchange, ExchangeResult, ModbusSession } from "./session.js";
import { inTurn } from "./turn.js";

// So many requests in a row without a byte from anybody: the connection leads nowhere, whatever the system believes.
const SILENT_REQUESTS = 3;

/** Speaks for all units behind one connection. */
export class TcpSession implements ModbusSession {
  readonly #link: ByteLink;
  readonly #clock: Clock;
  readonly #reader = new MbapReader((transaction, unit, bytes, start, end) => {
    this.#reply(transaction, unit, bytes, start, end);
  });
  readonly #open = new Map<number, OpenRequest>();
  #transaction = 0;
  #silent = 0;
  #strays = 0;

  private constructor(link: ByteLink, clock: Clock) {
    this.#link = link;
    this.#clock = clock;
  }

  /**
   * The session of a line: that of its other units, or a new one.
   * @throws AppError `hardware.unfit` where another protocol is spoken on it.
   */
  static on(link: ByteLink, clock: Clock): TcpSession {
    if (link.receiver instanceof TcpSession) return link.receiver;
    if (link.receiver !== undefined)
      throw new AppError("hardware.unfit", `${link.name} is spoken another way by other devices`);
    const session = new TcpSession(link, clock);
    link.receiver = session;
    return session;
  }

  /** Replies that nobody waited for: late, doubled, or of no request of ours. */
  get strays(): number {
    return this.#strays;
  }

  get manners(): LineManners {
    return this.#link.manners;
  }

  exchange(request: Exchange): Promise<ExchangeResult> {
    return inTurn(this.#link, this.#clock, request, (one) => this.#converse(one));
  }

  bytes(chunk: Uint8Array): void {
    this.#silent = 0;
    if (!this.#reader.push(chunk)) this.#link.reset("what came is no Modbus TCP");
  }

  lost(error: AppError): void {
    this.#reader.reset();
    this.#silent = 0;
    for (const open of [...this.#open.values()]) open.end({ status: "unreachable", detail: error.message });
  }

  #converse(request: Exchange): Promise<ExchangeResult> {
    const transaction = this.#nextTransaction();
    const open = new OpenRequest(request, this.#clock, () => this.#open.delete(transaction));
    this.#open.set(transaction, open);
    try {
      this.#link.send(encodeMbap(transaction, request.unit, request.pdu));
    } catch (thrown) {
      open.end({ status: "unreachable", sent: false, detail: AppError.from(thrown).message });
    }
    open.await(request.timeoutMs, () => {
      open.end({ status: "no_reply", detail: `silence for ${request.timeoutMs} ms` });
      this.#silent += 1;
      if (this.#silent >= SILENT_REQUESTS) this.#link.reset(`nothing came for ${this.#silent} requests`);
    });
    return open.ended;
  }

  #reply(transaction: number, unit: number, bytes: Uint8Array, start: number, end: number): void {
    const open = this.#open.get(transaction);
    if (open === undefined) {
      this.#strays += 1;
      return;
    }
    const { request } = open;
    if (unit !== request.unit) {
      open.end({ status: "bad_reply", detail: `unit ${unit} answered for unit ${request.unit}` });
      return;
    }
    const verdict = judgeReply(request.pdu, bytes, start, end);
    if (verdict === "other")
      open.end({ status: "bad_reply", detail: "the reply belongs to another request" });
    else if (verdict === "exception") open.end({ status: "exception", exception: bytes[start + 1] });
    else {
      request.take?.(bytes, start, end);
      open.end({ status: "good" });
    }
  }

  // A number comes back after 65,535 others, so a reply that is late by fewer than that is never taken for another.
  #nextTransaction(): number {
    do this.#transaction = (this.#transaction + 1) & 0xffff;
    while (this.#open.has(this.#transaction));
    return this.#transaction;
  }
}
