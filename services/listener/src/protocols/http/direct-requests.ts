/**
 * The requests of one connection as long as they are plain POSTs of single readings: read and answered on the socket. With the first
 * request that is anything else, or is not there in one piece, the connection goes to the HTTP library for good, that request included:
 * whatever is refused here is refused there, in its words.
 */
import { isUtf8 } from "node:buffer";
import type { Socket } from "node:net";
import type { EventTicket } from "@myelin/bus";
import { type Channel, isTopicName } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { Identity } from "../../core/admission.js";
import type { StreamSink } from "../../core/byte-stream.js";
import { isJson, skipSpace } from "../../core/json-scan.js";
import type { ProtocolContext } from "../../core/protocol.js";
import { serveSocket, unserveSocket } from "../../core/socket-stream.js";
import { ticksOf } from "../../core/timing-wheel.js";
import { FORM_TYPE, isJsonType, JSON_TYPE, NDJSON_TYPES } from "./body-type.js";
import { channelOf } from "./channel.js";
import type { HttpConfig } from "./config.js";
import type { AcceptedAnswer } from "./direct-answer.js";
import { type DirectHead, isSameHead, tryParseDirectHead } from "./direct-head.js";
import { connectionOf, type HttpConnection } from "./http-connection.js";
import { identifySender } from "./identify.js";
import { problemOf } from "./problem.js";

/** Answers that may be due to one connection before it is read on: a client that sends requests without waiting for answers. */
const MAX_PENDING = 256;
const MAX_WAITING_BYTES = 65_536;
const OPEN_ARRAY = 0x5b;
/** Bodies of these are streams, or what they are shows only when one looks. */
const INDIRECT_TYPES = new Set([...NDJSON_TYPES, FORM_TYPE]);

/** What the connections of one port share. */
export interface DirectScope {
  readonly config: HttpConfig;
  readonly ctx: ProtocolContext;
  readonly answer: AcceptedAnswer;
  /** Takes the socket, which is paused and has no listeners, with what was read of it. */
  readonly pass: (connection: HttpConnection, socket: Socket, rest: Buffer) => void;
}

/** What became of an event: stored, or why not. */
type Outcome = AppError | "stored";

export class DirectRequests implements StreamSink, EventTicket {
  private head: DirectHead | undefined;
  private channel: Channel | undefined;
  private generation = -1;
  /** Read and not yet looked at: something must be waited for. */
  private rest: Buffer | undefined;
  private isWaiting = false;
  private isEnded = false;
  /** Unanswered events in the order of their requests; the first has the number `answered`. */
  private outcomes: (Outcome | undefined)[] = [];
  /** Tick at which each of them was handed over. */
  private readonly sinceTicks: number[] = [];
  private answered = 0;

  constructor(
    private readonly scope: DirectScope,
    private readonly connection: HttpConnection,
    private readonly socket: Socket,
  ) {}

  /** Begins to read. */
  serve(head?: Buffer): void {
    this.socket.on("end", onEnd);
    serveSocket(this.socket, this, head);
  }

  onData(chunk: Buffer): void {
    // Behind the last answer.
    if (this.isEnded) return;
    this.connection.seen();
    this.rest = this.rest === undefined ? chunk : Buffer.concat([this.rest, chunk]);
    if (!this.isWaiting) this.work();
  }

  onDrain(): void {
    if (!this.isWaiting) this.work();
  }

  /** The client sends no more: answered is what it has sent, then it is closed. */
  onEnd(): void {
    this.isEnded = true;
    this.endWhenDone();
  }

  onClosed(): void {
    this.rest = undefined;
    this.connection.closed();
  }

  settled(numbers: readonly number[], from: number, to: number, error: AppError | undefined): void {
    for (let i = from; i < to; i++) {
      const place = numbers[i]! - this.answered;
      // Below: it was given up, and answered so.
      if (place >= 0) this.outcomes[place] = error ?? "stored";
    }
    this.flush();
  }

  /** Answers what has waited for its store too long. @returns ticks until the oldest is late, 0: nothing waits */
  expire(now: number): number {
    const { sinceTicks, outcomes } = this;
    const { storeTimeout } = this.scope.config;
    const asked = now - ticksOf(storeTimeout);
    let late = 0;
    while (late < sinceTicks.length && sinceTicks[late]! <= asked) {
      const text = `the event was not stored within ${storeTimeout} ms; send it again with the same key`;
      outcomes[late++] ??= new AppError("bus.timeout", text);
    }
    if (late > 0) this.flush();
    return sinceTicks.length === 0 ? 0 : sinceTicks[0]! - asked;
  }

  private work(): void {
    const { connection, socket } = this;
    let taken = 0;
    let at = 0;
    const chunk = this.rest;
    if (chunk === undefined || connection.gone) return;
    while (at < chunk.length) {
      if (this.outcomes.length >= MAX_PENDING || socket.writableLength > MAX_WAITING_BYTES) break;
      const head = this.headAt(chunk, at);
      const end = head === undefined ? 0 : at + head.bytes.length + head.contentLength;
      if (head === undefined || end > chunk.length) {
        this.writeAccepted(taken);
        this.rest = chunk.subarray(at);
        this.passOn();
        return;
      }
      const ready = this.ready(head);
      if (ready !== true) {
        this.writeAccepted(taken);
        this.rest = chunk.subarray(at);
        if (ready === false) this.passOn();
        else this.waitFor(ready);
        return;
      }
      const start = at + head.bytes.length;
      if (!this.take(head, this.channel!, chunk, start, end)) {
        this.writeAccepted(taken);
        this.rest = chunk.subarray(at);
        this.passOn();
        return;
      }
      // Behind answers that are due it waits for its turn, see `take`.
      if (head.lane === 0 && this.outcomes.length === 0) taken += 1;
      at = end;
    }
    this.rest = at === chunk.length ? undefined : chunk.subarray(at);
    this.writeAccepted(taken);
    if (this.rest !== undefined) socket.pause();
    else if (socket.isPaused()) socket.resume();
    this.endWhenDone();
  }

  private headAt(chunk: Buffer, at: number): DirectHead | undefined {
    const { head } = this;
    if (head !== undefined && isSameHead(head, chunk, at)) return head;
    const found = tryParseDirectHead(chunk, at);
    if (found === undefined || found.contentLength > this.scope.config.maxBody) return undefined;
    if (INDIRECT_TYPES.has(found.contentType) || !isTopicName(found.path)) return undefined;
    this.head = found;
    this.generation = -1;
    return found;
  }

  /** True: the request may be taken now; false: the library shall say why not; else when to ask again. */
  private ready(head: DirectHead): boolean | Promise<unknown> {
    const { connection, scope } = this;
    const { ctx, config } = scope;
    if (this.generation !== ctx.admission.generation) {
      try {
        const identity = identifySender(ctx, connection, head);
        if (identity instanceof Promise) return identity;
        this.admitted(head, identity);
      } catch (thrown) {
        if (AppError.is(thrown)) return false;
        throw thrown;
      }
    }
    if (ctx.connections.mustHold(connection, 0) || connection.held !== 0)
      return connection.free(config.storeTimeout);
    return true;
  }

  private admitted(head: DirectHead, identity: Identity): void {
    const { ctx } = this.scope;
    const { lane, path } = head;
    const contentType = isJsonType(head.contentType) ? JSON_TYPE : head.contentType;
    this.channel = channelOf(ctx, this.connection, { identity, lane, path, contentType });
    this.generation = ctx.admission.generation;
  }

  /** False: the library must look at it; nothing has happened then. */
  private take(head: DirectHead, channel: Channel, chunk: Buffer, start: number, end: number): boolean {
    const { ctx } = this.scope;
    const { connection } = this;
    let last = end;
    if (isJsonType(head.contentType)) {
      const first = skipSpace(chunk, start, end);
      if (chunk[first] === OPEN_ARRAY || !isJson(chunk, first, end) || !isText(chunk, first, end))
        return false;
      while (skipSpace(chunk, last - 1, last) === last) last -= 1;
      start = first;
    }
    ctx.metrics.traffic("http").receivedMessages += 1;
    if (head.lane === 0) {
      ctx.ingress.telemetry(channel, chunk, start, last);
      if (this.outcomes.length > 0) this.await("stored");
    } else {
      const number = this.answered + this.outcomes.length;
      this.await(undefined);
      ctx.ingress.event(channel, chunk, start, last, this, number);
    }
    connection.spend(1);
    return true;
  }

  /** The next answer, known or not: given when its turn has come. */
  private await(outcome: Outcome | undefined): void {
    const { connections } = this.scope.ctx;
    if (this.outcomes.length === 0) {
      connections.wheel.schedule(this.connection, ticksOf(this.scope.config.storeTimeout));
    }
    this.outcomes.push(outcome);
    this.sinceTicks.push(connections.wheel.now);
    this.connection.busy += 1;
  }

  /** Reads on when `ready` has come true. What it fails with is the answer, and the last one. */
  private waitFor(ready: Promise<unknown>): void {
    const { connection, socket } = this;
    this.isWaiting = true;
    connection.busy += 1;
    socket.pause();
    ready.then(
      () => {
        this.isWaiting = false;
        connection.busy -= 1;
        this.work();
      },
      (thrown: unknown) => {
        this.isWaiting = false;
        connection.busy -= 1;
        this.refuse(AppError.from(thrown));
      },
    );
  }

  /** The last answer: what was read behind this request is not looked at. It waits for the answers that are due before it. */
  private refuse(error: AppError): void {
    this.rest = undefined;
    this.isEnded = true;
    if (error.family === "ours") {
      const { code, stack, cause } = error;
      this.scope.ctx.log.error({ code, stack, cause }, "cannot handle a request");
    }
    if (this.connection.gone) return;
    this.await(error);
    this.flush();
    // So that the client's own end is read.
    this.socket.resume();
  }

  private flush(): void {
    const { connection, socket, outcomes } = this;
    let done = 0;
    while (done < outcomes.length && outcomes[done] !== undefined) done += 1;
    if (done === 0) return;
    const ready = outcomes.splice(0, done) as Outcome[];
    this.sinceTicks.splice(0, done);
    this.answered += done;
    if (connection.gone) return;
    const hadRest = this.rest !== undefined;
    if (done > 1) socket.cork();
    for (const outcome of ready) {
      if (outcome === "stored") this.writeAccepted(1);
      else this.writeProblem(outcome);
    }
    if (done > 1) socket.uncork();
    connection.busy -= done - 1;
    connection.answered();
    if (hadRest && !this.isWaiting) this.work();
    else this.endWhenDone();
  }

  private writeAccepted(count: number): void {
    if (count === 0) return;
    const { connection, scope, socket } = this;
    const nowMs = scope.ctx.clock.wallMs();
    if (connection.leaving) {
      socket.write(scope.answer.last(nowMs), "latin1");
      return;
    }
    const bytes = scope.answer.at(nowMs);
    socket.write(count === 1 ? bytes : Buffer.concat(new Array<Buffer>(count).fill(bytes)));
  }

  private writeProblem(error: AppError): void {
    const { scope, socket, connection } = this;
    const { code, message } = error;
    if (error.family === "caller") scope.ctx.metrics.malformed.add(`http,${code}`);
    const errors = [{ line: 0, code, detail: message }];
    const problem = problemOf(error, undefined, { accepted: 0, rejected: 1, errors });
    const isKept = !this.isEnded && !connection.leaving;
    socket.write(scope.answer.problem(problem, scope.ctx.clock.wallMs(), isKept));
  }

  /** The library goes on, when everything before is answered. */
  private passOn(): void {
    const { connection, socket } = this;
    socket.pause();
    if (this.outcomes.length > 0) return;
    const rest = this.rest!;
    this.rest = undefined;
    socket.off("end", onEnd);
    unserveSocket(socket);
    connection.direct = undefined;
    this.scope.pass(connection, socket, rest);
  }

  private endWhenDone(): void {
    if (this.isEnded && this.outcomes.length === 0 && !this.isWaiting && this.rest === undefined)
      this.socket.end();
  }
}

function onEnd(this: Socket): void {
  connectionOf(this).direct?.onEnd();
}

function isText(bytes: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    if (bytes[i]! > 0x7f) return isUtf8(bytes.subarray(start, end));
  }
  return true;
}
