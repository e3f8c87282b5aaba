/**
 * QoS 2 messages of a client whose session is kept, and those of QoS 1 behind them: its home writes down that one begins, and under which id, before it is stored, so
 * that it is known by that id when the client has to send it again. See ADR 0010.
 */
import { randomFillSync } from "node:crypto";
import type { Channel, EnvelopeExtras } from "@myelin/contract";
import { HOLD } from "../../core/connection.js";
import type { KeptSession } from "../../core/session-home.js";
import type { MqttConnection } from "./mqtt-connection.js";
import { type MqttSession, QOS2_BIT } from "./session.js";

/** A message that waits for its home; owns its payload. */
export interface ReceivedPublish {
  readonly channel: Channel;
  readonly payload: Buffer;
  readonly extras: EnvelopeExtras | undefined;
  /** Its packet identifier, with `QOS2_BIT` where it came with QoS 2. */
  readonly number: number;
  isRecorded: boolean;
}

/** A message with a packet identifier; `buf[start, end)` is the payload. */
interface Arrival {
  readonly channel: Channel;
  readonly buf: Buffer;
  readonly start: number;
  readonly end: number;
  readonly extras: EnvelopeExtras | undefined;
}

/** Beyond these the client is not read from until its home has answered: more than any client sends within a round trip. */
const MAX_WAITING = 4_096;
const MAX_WAITING_BYTES = 1024 * 1024;

const ID_BYTES = 16;
const TIME_BYTES = 6;

/** Takes a message of QoS 2; its payload is copied where it has to wait. */
export function receiveKept(c: MqttConnection, kept: KeptSession, packetId: number, message: Arrival): void {
  const { channel, buf, start, end } = message;
  const session = c.openSession();
  session.incoming ??= new Map();
  session.receiving ??= new Map();
  const begun = session.incoming.get(packetId);
  const isRecorded = typeof begun === "object";
  const id = isRecorded ? begun.id : newId(c.shared.ctx.clock.wallMs());
  const extras = { ...message.extras, id, senderId: true };
  const number = packetId | QOS2_BIT;
  if (isRecorded && session.receiving.size === 0) {
    store(c, { channel, payload: buf.subarray(start, end), extras, number });
    return;
  }
  session.incoming.set(packetId, "begins");
  wait(c, session, packetId, { ...message, extras }, { number, isRecorded });
  if (!isRecorded) kept.receiving(packetId, id);
}

/** Messages wait, and what comes above QoS 0 must not overtake them. */
export function isReceiving({ receiving }: MqttSession): boolean {
  return receiving !== undefined && receiving.size > 0;
}

/** Lets a message of QoS 1 wait behind the others; its payload is copied. */
export function receiveBehind(
  c: MqttConnection,
  session: MqttSession,
  packetId: number,
  message: Arrival,
): void {
  // Beyond all packet identifiers: nothing forbids two of QoS 1 under the same one.
  session.receivedBehind += 1;
  wait(c, session, QOS2_BIT + session.receivedBehind, message, { number: packetId, isRecorded: true });
}

function wait(
  c: MqttConnection,
  session: MqttSession,
  key: number,
  { channel, buf, start, end, extras }: Arrival,
  state: Pick<ReceivedPublish, "number" | "isRecorded">,
): void {
  const receiving = session.receiving!;
  receiving.set(key, { channel, payload: Buffer.from(buf.subarray(start, end)), extras, ...state });
  session.receivingBytes += end - start;
  if (receiving.size >= MAX_WAITING || session.receivingBytes >= MAX_WAITING_BYTES) c.hold(HOLD.home);
}

/** As `SessionHolder.incomingRecorded`: stores it, and what waits behind it for the sake of the order. */
export function incomingRecorded(c: MqttConnection, packetId: number): void {
  const { session } = c;
  const waiting = session?.receiving;
  const recorded = waiting?.get(packetId);
  if (session === undefined || waiting === undefined || recorded === undefined) return;
  recorded.isRecorded = true;
  for (const [key, message] of waiting) {
    if (!message.isRecorded) break;
    waiting.delete(key);
    session.receivingBytes -= message.payload.length;
    store(c, message);
  }
  if (waiting.size < MAX_WAITING >>> 1 && session.receivingBytes < MAX_WAITING_BYTES >>> 1)
    c.release(HOLD.home);
}

function store(
  c: MqttConnection,
  { channel, payload, extras, number }: Omit<ReceivedPublish, "isRecorded">,
): void {
  if (number >= QOS2_BIT) c.session!.incoming!.set(number & 0xffff, "storing");
  c.shared.ctx.ingress.event(channel, payload, 0, payload.length, c, number, extras);
}

/** Time first, as all ids. */
function newId(wallMs: number): Buffer {
  const id = Buffer.allocUnsafe(ID_BYTES);
  id.writeUIntBE(wallMs, 0, TIME_BYTES);
  randomFillSync(id, TIME_BYTES);
  return id;
}
