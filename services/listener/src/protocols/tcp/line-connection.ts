/** One client that sends lines of text: `device path payload`. */
import { isUtf8 } from "node:buffer";
import type { EventTicket } from "@myelin/bus";
import type { Channel } from "@myelin/contract";
import { AppError, type ErrorCode } from "@myelin/kernel";
import type { ConnectVerdict, Identity } from "../../core/admission.js";
import type { ByteStream, StreamSink } from "../../core/byte-stream.js";
import type { ChannelTable, LaneIndex } from "../../core/channel-table.js";
import { Connection, type ConnectionScope, type DisconnectReason, HOLD } from "../../core/connection.js";
import type { ChannelSource } from "../../core/ingress.js";
import { indexWithin, LineCutter, type LineHandler } from "../../core/line-cutter.js";
import { isPath } from "../../core/mcp/mcp-path.js";
import type { Traffic } from "../../core/metrics.js";
import type { ProtocolContext } from "../../core/protocol.js";
import { certificateOf } from "../../core/socket-peer.js";
import type { TcpConfig } from "./config.js";

const SPACE = 0x20;
const MAX_DEVICE_ID_BYTES = 256;
const MAX_DEVICES = 1_000;
/** Beside what they share: a connection may speak for a thousand. */
const CHANNELS_PER_DEVICE = 256;
/** Lines that may wait for their answer; more are not read. */
const MAX_UNANSWERED = 10_000;
const LINGER_TICKS = 4;

/** What the line connections of one port share. */
export class LineShared {
  readonly lane: LaneIndex;
  readonly traffic: Traffic;

  constructor(
    readonly ctx: ProtocolContext,
    readonly scope: ConnectionScope,
    readonly config: TcpConfig,
  ) {
    this.lane = config.lane === "telemetry" ? 0 : 1;
    this.traffic = ctx.metrics.traffic(scope.kind);
  }
}

/** One device of a connection, with its channels. */
class LineDevice implements ChannelSource {
  channels: ChannelTable | undefined = undefined;
  readonly maxChannels = CHANNELS_PER_DEVICE;
  readonly number: number;

  constructor(
    readonly owner: LineConnection,
    readonly identity: Identity,
  ) {
    this.number = owner.scope.manager.takeNumber();
  }

  get protocol(): Connection["protocol"] {
    return this.owner.protocol;
  }
  get port(): string {
    return this.owner.port;
  }
  get contentType(): string {
    return "";
  }
  checkPath(bytes: Uint8Array, start: number, end: number): ErrorCode | undefined {
    return isPath(bytes, start, end) ? undefined : "protocol.malformed";
  }
}

export class LineConnection extends Connection implements StreamSink, LineHandler, EventTicket {
  private ending: DisconnectReason = "lost";
  private closed = false;
  private readonly cutter: LineCutter;
  private readonly devices = new Map<string, LineDevice>();
  /** The device of the last line, and its name's bytes. */
  private last: LineDevice | undefined;
  private lastName = Buffer.alloc(0);
  private waiting: Buffer[] | undefined;
  /** Lines that came behind the one whose device is being admitted. */
  private behind: Buffer[] | undefined;
  private lines = 0;
  /** Answers in the order of the lines that get one; undefined while a line is not settled. The first has the number `firstAnswer`. */
  private readonly answers: (string | undefined)[] = [];
  private firstAnswer = 0;

  constructor(
    private readonly shared: LineShared,
    private readonly stream: ByteStream,
    address: string,
  ) {
    super(shared.scope, address);
    this.cutter = new LineCutter(this, shared.scope.limits.maxFrameBytes);
  }

  onData(chunk: Buffer): void {
    if (this.closed) return;
    this.seen();
    if (this.waiting !== undefined || this.scope.manager.mustHold(this, chunk.length)) {
      this.waiting ??= [];
      this.waiting.push(Buffer.from(chunk));
      return;
    }
    this.consume(chunk);
    this.scope.manager.turns.took(this, chunk.length);
  }

  onDrain(): void {
    this.release(HOLD.writing);
  }

  onClosed(): void {
    if (this.gone) return;
    // `echo | nc` may close without a line end: what came is a line.
    this.takeRest();
    if (!this.closed) this.guarded(() => this.cutter.end());
    this.closed = true;
    this.loseRest();
    this.scope.manager.remove(this, this.ending === "lost" ? "client" : this.ending);
  }

  disconnect(reason: DisconnectReason, error?: AppError): void {
    if (this.closed) return;
    if (reason === "takeover" || reason === "drain") this.takeRest();
    this.ending = reason;
    if (error !== undefined && this.shared.config.ack === "on")
      this.stream.write(Buffer.from(`error ${error.code}\n`));
    this.closed = true;
    this.loseRest();
    this.stream.end();
    if (this.held !== 0) this.stream.resume();
    if (!this.gone) this.scope.manager.wheel.schedule(this, LINGER_TICKS);
  }

  override onWheel(now: number): number {
    if (!this.closed) return super.onWheel(now);
    if (!this.gone) this.stream.destroy();
    return 0;
  }

  onLine(bytes: Buffer, start: number, end: number): void {
    if (this.closed) return;
    if (this.behind !== undefined) {
      this.behind.push(Buffer.from(bytes.subarray(start, end)));
      return;
    }
    this.lines += 1;
    const nameEnd = indexWithin(bytes, SPACE, start, end);
    const pathEnd = nameEnd < 0 ? -1 : indexWithin(bytes, SPACE, nameEnd + 1, end);
    if (pathEnd < 0) {
      this.refuse("protocol.malformed", "syntax");
      return;
    }
    const device = this.deviceOf(bytes, start, nameEnd);
    if (device === undefined) {
      this.admit(bytes.toString("utf8", start, nameEnd), Buffer.from(bytes.subarray(start, end)));
      return;
    }
    this.take(device, bytes, nameEnd + 1, pathEnd, end);
  }

  onLongLine(): void {
    this.shared.ctx.metrics.malformed.add("tcp,line_too_long");
    this.disconnect("frame_too_large", new AppError("limit.frame_too_large", "a line is too long"));
  }

  settled(numbers: readonly number[], from: number, to: number, error: AppError | undefined): void {
    for (let i = from; i < to; i++) this.answer(numbers[i]!, error?.code);
    this.writeAnswers();
  }

  protected pauseReading(): void {
    this.stream.pause();
  }

  protected resumeReading(): void {
    while (this.held === 0 && !this.closed) {
      const chunk = this.waiting?.shift();
      if (chunk === undefined) {
        this.waiting = undefined;
        break;
      }
      this.consume(chunk);
    }
    if (this.held === 0 && !this.closed) this.stream.resume();
  }

  /** It ends although it has done nothing wrong: what was kept is taken, so that every line is counted by a sender at least. */
  private takeRest(): void {
    while (!this.closed) {
      const chunk = this.waiting?.shift();
      if (chunk === undefined) return;
      this.scope.manager.letGo(this, chunk.length);
      this.consume(chunk);
    }
  }

  /** Lines whose device was not let in yet are counted; bytes that are no lines yet are not known. */
  private loseRest(): void {
    const { behind, waiting, shared } = this;
    this.waiting = this.behind = undefined;
    if (behind !== undefined) shared.ctx.ingress.refuse(shared.lane, "disconnected", behind.length + 1);
    if (waiting === undefined || waiting.length === 0) return;
    this.scope.manager.lose(
      this,
      waiting.reduce((sum, { length }) => sum + length, 0),
    );
  }

  private consume(chunk: Buffer): void {
    this.shared.traffic.receivedBytes += chunk.length;
    this.guarded(() => this.cutter.push(chunk));
  }

  /** Whatever takes lines runs in here: what it throws ends this connection and no other. Once per chunk. */
  private guarded(takeLines: () => void): void {
    try {
      takeLines();
    } catch (thrown) {
      this.fail(thrown);
    }
    const { lines } = this;
    this.lines = 0;
    this.shared.traffic.receivedMessages += lines;
    if (lines > 0) this.spend(lines);
    this.writeAnswers();
    if (this.answers.length > MAX_UNANSWERED) this.hold(HOLD.writing);
  }

  private fail(thrown: unknown): void {
    const error = AppError.from(thrown);
    const { code, stack, cause } = error;
    this.shared.ctx.log.error({ code, stack, cause }, "cannot handle a line");
    this.disconnect("internal", error);
  }

  private take(device: LineDevice, bytes: Buffer, pathStart: number, pathEnd: number, end: number): void {
    const { lane, ctx } = this.shared;
    const channel: Channel | undefined = ctx.ingress.channelFor(device, lane, bytes, pathStart, pathEnd);
    if (channel === undefined) {
      this.refuse(ctx.ingress.refusal, "path");
      return;
    }
    if (lane === 1) {
      ctx.ingress.event(channel, bytes, pathEnd + 1, end, this, this.expect());
      return;
    }
    ctx.ingress.telemetry(channel, bytes, pathEnd + 1, end);
    this.answer(this.expect(), undefined);
  }

  private refuse(code: ErrorCode, reason: string): void {
    const { ctx, lane } = this.shared;
    if (code === "protocol.malformed") ctx.metrics.malformed.add(`tcp,${reason}`);
    ctx.ingress.refuse(lane, code);
    this.answer(this.expect(), code);
  }

  private deviceOf(bytes: Buffer, start: number, end: number): LineDevice | undefined {
    if (this.last !== undefined && this.lastName.compare(bytes, start, end) === 0) return this.last;
    const device = this.devices.get(bytes.toString("utf8", start, end));
    if (device !== undefined) {
      this.last = device;
      this.lastName = Buffer.from(bytes.subarray(start, end));
    }
    return device;
  }

  /** A device that is new on this connection; lines have no password, so admission sees name and address. */
  private admit(deviceId: string, line: Buffer): void {
    const nameEnd = line.indexOf(SPACE);
    const valid = nameEnd > 0 && nameEnd <= MAX_DEVICE_ID_BYTES && isUtf8(line.subarray(0, nameEnd));
    if (!valid || /\p{Cc}/u.test(deviceId)) {
      this.refuse("protocol.malformed", "device");
      return;
    }
    const { ctx, scope } = this.shared;
    const who = {
      protocol: scope.kind,
      port: scope.port,
      address: this.address,
      deviceId,
      certificate: certificateOf(this.stream),
    };
    const verdict = ctx.admission.connect(who);
    if (!(verdict instanceof Promise)) {
      this.decided(deviceId, line, verdict);
      return;
    }
    this.behind = [];
    this.hold(HOLD.admission);
    void verdict
      .then((late) => this.guarded(() => this.decidedLate(deviceId, line, late)))
      .catch((thrown: unknown) => this.fail(thrown));
  }

  /** The lines behind it follow in their order, up to the next one whose device must be asked for. */
  private decidedLate(deviceId: string, line: Buffer, verdict: ConnectVerdict): void {
    const { behind = [] } = this;
    this.behind = undefined;
    this.decided(deviceId, line, verdict);
    if (!verdict.allow && behind.length > 0)
      this.shared.ctx.ingress.refuse(this.shared.lane, verdict.code, behind.length);
    for (const next of behind) this.onLine(next, 0, next.length);
    if (this.behind === undefined) this.release(HOLD.admission);
  }

  private decided(deviceId: string, line: Buffer, verdict: ConnectVerdict): void {
    if (this.closed) return;
    if (!verdict.allow) {
      this.shared.ctx.metrics.refused.add(`tcp,${verdict.code}`);
      this.refuse(verdict.code, "refused");
      this.disconnect("refused");
      return;
    }
    if (this.devices.size >= MAX_DEVICES) this.devices.clear();
    const device = new LineDevice(this, verdict.identity);
    this.devices.set(deviceId, device);
    if (this.last === undefined) this.admitted(verdict.identity);
    this.last = undefined;
    const nameEnd = line.indexOf(SPACE);
    this.take(device, line, nameEnd + 1, line.indexOf(SPACE, nameEnd + 1), line.length);
    this.last = device;
    this.lastName = Buffer.from(line.subarray(0, nameEnd));
  }

  /** The number of the next answer, whose place is kept. */
  private expect(): number {
    if (this.shared.config.ack === "off") return 0;
    this.answers.push(undefined);
    return this.firstAnswer + this.answers.length - 1;
  }

  private answer(number: number, code: string | undefined): void {
    if (this.shared.config.ack === "off") return;
    this.answers[number - this.firstAnswer] = code === undefined ? "ok\n" : `error ${code}\n`;
  }

  private writeAnswers(): void {
    let ready = 0;
    while (ready < this.answers.length && this.answers[ready] !== undefined) ready += 1;
    if (ready === 0) return;
    this.firstAnswer += ready;
    const text = this.answers.splice(0, ready).join("");
    if (this.closed || this.gone || text === "") return;
    this.shared.traffic.sentBytes += text.length;
    if (!this.stream.write(Buffer.from(text))) {
      if (this.stream.writableLength > this.scope.limits.maxWriteBufferBytes) this.disconnect("slow_client");
      else this.hold(HOLD.writing);
    } else if (this.answers.length <= MAX_UNANSWERED) this.release(HOLD.writing);
  }
}
