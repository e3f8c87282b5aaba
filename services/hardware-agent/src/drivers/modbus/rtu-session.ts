/** Modbus RTU on a line, or on a connection to a gateway that passes frames on as they are. */
import { AppError, type Clock } from "@myelin/kernel";
import type { ByteLink, LineManners } from "../../links/link.js";
import { LateGuard } from "./late-guard.js";
import { OpenRequest } from "./open-request.js";
import { encodeRtu, RtuReader } from "./rtu.js";
import type { Exchange, ExchangeResult, ModbusSession } from "./session.js";
import { inTurn } from "./turn.js";

// The longest frame takes less, also at 300 baud.
const SEND_LIMIT_MS = 15_000;

/** Speaks for all units on one line; one request at a time. */
export class RtuSession implements ModbusSession {
  readonly #link: ByteLink;
  readonly #clock: Clock;
  readonly #reader = new RtuReader();
  readonly #guards = new Map<number, LateGuard>();
  #open: OpenRequest | undefined;
  #frame: Uint8Array = new Uint8Array(0);
  // Whether the line gives back what is sent on it, as two-wire adapters may. Reads tell; until one has, nobody knows.
  #echo: "unknown" | "absent" | "present" = "unknown";
  #strays = 0;

  private constructor(link: ByteLink, clock: Clock) {
    this.#link = link;
    this.#clock = clock;
  }

  /**
   * The session of a line: that of its other units, or a new one.
   * @throws AppError `hardware.unfit` where another protocol is spoken on it, or where several requests may be on the way.
   */
  static on(link: ByteLink, clock: Clock): RtuSession {
    if (link.receiver instanceof RtuSession) return link.receiver;
    if (link.receiver !== undefined)
      throw new AppError("hardware.unfit", `${link.name} is spoken another way by other devices`);
    if (link.queue.concurrency !== 1)
      throw new AppError(
        "hardware.unfit",
        `${link.name} lets several requests out at once, which RTU cannot tell apart`,
      );
    const session = new RtuSession(link, clock);
    link.receiver = session;
    return session;
  }

  /** Bytes that came while nothing was asked. */
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
    const open = this.#open;
    if (open === undefined) {
      this.#strays += chunk.length;
      this.#link.queue.heard();
      return;
    }
    const found = this.#reader.push(chunk);
    if (found === "pending" || open.request.unit === 0) return;
    const { bytes, start, end } = this.#reader;
    this.#learnEcho(open.request.pdu);
    this.#guardOf(open.request.unit).answered(open.request.pdu, found === "exception");
    if (found === "good") open.request.take?.(bytes, start, end);
    open.end(found === "good" ? { status: "good" } : { status: "exception", exception: bytes[start + 1] });
  }

  lost(error: AppError): void {
    // Whatever was on the way is gone with the line; another adapter may come back in its place.
    this.#echo = "unknown";
    this.#open?.end({ status: "unreachable", detail: error.message });
  }

  async #converse(request: Exchange): Promise<ExchangeResult> {
    if (request.unit === 0) return await this.#broadcast(request);
    const guard = this.#guardOf(request.unit);
    // The reply to a single write is the request once more: on a line that gives back what is sent, nobody could say
    // who spoke. A read comes first, which tells.
    const isAmbiguous = this.#echo === "unknown" && repeatsRequest(request.pdu);
    if (isAmbiguous || guard.suspects(request.pdu)) {
      const probe = { ...request, pdu: guard.probe(request.pdu), take: undefined };
      const answer = await this.#ask(probe);
      if (answer.status !== "good" && answer.status !== "exception") return { ...answer, sent: false };
      await this.#clock.sleep(this.#link.queue.gapMs);
    }
    return await this.#ask(request);
  }

  async #ask(request: Exchange): Promise<ExchangeResult> {
    const frame = encodeRtu(request.unit, request.pdu);
    this.#frame = frame;
    this.#reader.expect(request.unit, request.pdu, this.#echo === "absent" ? undefined : frame);
    const result = await this.#send(request, frame);
    // A whole reply that came broken will not come again; whatever else went wrong, the reply may still be on its way.
    const isOpen =
      result.status === "no_reply" || result.status === "bad_reply" || result.status === "aborted";
    if (isOpen && this.#reader.trouble(frame) !== "corrupt")
      this.#guardOf(request.unit).unanswered(request.pdu);
    return result;
  }

  async #send(request: Exchange, frame: Uint8Array): Promise<ExchangeResult> {
    const open = new OpenRequest(request, this.#clock, () => {
      this.#open = undefined;
    });
    this.#open = open;
    try {
      const leaving = this.#link.send(frame);
      if (leaving !== undefined) {
        open.await(SEND_LIMIT_MS, () => this.#link.reset(`it took no bytes for ${SEND_LIMIT_MS} ms`));
        // A line that goes away while it takes bytes may never say what became of them.
        await Promise.race([leaving, open.ended]);
      }
    } catch (thrown) {
      open.end({ status: "unreachable", sent: false, detail: AppError.from(thrown).message });
    }
    open.await(request.timeoutMs, () => {
      const trouble = this.#reader.trouble(frame);
      open.end(
        trouble === "silence"
          ? { status: "no_reply", detail: `silence for ${request.timeoutMs} ms` }
          : { status: "bad_reply", detail: TROUBLES[trouble] },
      );
    });
    return await open.ended;
  }

  // Nobody answers a broadcast: when its time is over, all was done that can be. What comes meanwhile is an echo at most.
  async #broadcast(request: Exchange): Promise<ExchangeResult> {
    const { turnaroundMs } = this.#link.manners;
    const frame = encodeRtu(0, request.pdu);
    this.#reader.expect(0, request.pdu, frame);
    const result = await this.#send({ ...request, timeoutMs: turnaroundMs }, frame);
    return result.status === "no_reply" || result.status === "bad_reply"
      ? { ...result, status: "good" }
      : result;
  }

  // Only a reply that does not look like its request tells; and where noise came first, nobody knows what it was.
  #learnEcho(pdu: Uint8Array): void {
    if (repeatsRequest(pdu)) return;
    const before = this.#reader.before(this.#frame);
    if (before !== "noise") this.#echo = before === "echo" ? "present" : "absent";
  }

  #guardOf(unit: number): LateGuard {
    let guard = this.#guards.get(unit);
    if (guard === undefined) {
      guard = new LateGuard();
      this.#guards.set(unit, guard);
    }
    return guard;
  }
}

const TROUBLES = {
  silence: "nothing came",
  noise: "only noise came",
  truncated: "the reply ended too soon",
  corrupt: "the reply has a wrong checksum",
  wrong_unit: "another unit answered",
  wrong_reply: "the unit answered something else",
} as const;

/** Functions whose good reply is the request itself. */
function repeatsRequest(pdu: Uint8Array): boolean {
  return pdu[0] === 5 || pdu[0] === 6 || pdu[0] === 22;
}
