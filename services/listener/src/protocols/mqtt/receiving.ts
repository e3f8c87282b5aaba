/**
 * QoS 2 messages of a client whose session is kept: its home writes down that one begins, and under which id, before it is stored, so
 * that it is known by that id when the client has to send it again. See ADR 0010.
 */
import { randomFillSync } from "node:crypto";
import type { Channel, EnvelopeExtras } from "@myelin/contract";
import { HOLD } from "../../core/connection.js";
import type { KeptSession } from "../../core/session-home.js";
import type { MqttConnection } from "./mqtt-connection.js";
import { QOS2_BIT } from "./session.js";

/** A message that waits for its home; owns its payload. */
export interface ReceivedPublish {
  readonly channel: Channel;
  readonly payload: Buffer;
  readonly extras: EnvelopeExtras;
  isRecorded: boolean;
}

/** Beyond these the client is not read from until its home has answered: more than any client sends within a round trip. */
const MAX_WAITING = 4_096;
const MAX_WAITING_BYTES = 1024 * 1024;

const ID_BYTES = 16;
const TIME_BYTES = 6;

/** `buf[start, end)` is the payload; it is copied where it has to wait. */
export function receiveKept(
  c: MqttConnection,
  kept: KeptSession,
  packetId: number,
  message: {
    readonly channel: Channel;
    readonly buf: Buffer;
    readonly start: number;
    readonly end: number;
    readonly extras: EnvelopeExtras | undefined;
  },
): void {
  const { channel, buf, start, end } = message;
  const session = c.openSession();
  session.incoming ??= new Map();
  session.receiving ??= new Map();
  const begun = session.incoming.get(packetId);
  const isRecorded = typeof begun === "object";
  const id = isRecorded ? begun.id : newId(c.shared.ctx.clock.wallMs());
  const extras = { ...message.extras, id, senderId: true };
  if (isRecorded && session.receiving.size === 0) {
    store(c, packetId, { channel, payload: buf.subarray(start, end), extras });
    return;
  }
  session.incoming.set(packetId, "begins");
  session.receiving.set(packetId, {
    channel,
    payload: Buffer.from(buf.subarray(start, end)),
    extras,
    isRecorded,
  });
  session.receivingBytes += end - start;
  if (!isRecorded) kept.receiving(packetId, id);
  if (session.receiving.size >= MAX_WAITING || session.receivingBytes >= MAX_WAITING_BYTES) c.hold(HOLD.home);
}

/** As `SessionHolder.incomingRecorded`: stores it, and what waits behind it for the sake of the order. */
export function incomingRecorded(c: MqttConnection, packetId: number): void {
  const { session } = c;
  const waiting = session?.receiving;
  const recorded = waiting?.get(packetId);
  if (session === undefined || waiting === undefined || recorded === undefined) return;
  recorded.isRecorded = true;
  for (const [id, message] of waiting) {
    if (!message.isRecorded) break;
    waiting.delete(id);
    session.receivingBytes -= message.payload.length;
    store(c, id, message);
  }
  if (waiting.size < MAX_WAITING >>> 1 && session.receivingBytes < MAX_WAITING_BYTES >>> 1)
    c.release(HOLD.home);
}

function store(
  c: MqttConnection,
  packetId: number,
  { channel, payload, extras }: Pick<ReceivedPublish, "channel" | "payload" | "extras">,
): void {
  c.session!.incoming!.set(packetId, "storing");
  c.shared.ctx.ingress.event(channel, payload, 0, payload.length, c, packetId | QOS2_BIT, extras);
}

/** Time first, as all ids. */
function newId(wallMs: number): Buffer {
  const id = Buffer.allocUnsafe(ID_BYTES);
  id.writeUIntBE(wallMs, 0, TIME_BYTES);
  randomFillSync(id, TIME_BYTES);
  return id;
}
