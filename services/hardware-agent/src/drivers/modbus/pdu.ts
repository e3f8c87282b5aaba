/** Requests and replies without their framing, both ways: what is asked, and whether an answer belongs to it. */
import { AppError } from "@myelin/kernel";
import { FUNCTION, LIMIT, MAX_PDU_BYTES, MEI_DEVICE_IDENTIFICATION } from "./functions.table.js";

/** A request. `registers` and `bits` hold one item each: a register's 16 bits, or 0 and 1. */
export type ModbusRequest =
  | { readonly fn: 1 | 2 | 3 | 4; readonly address: number; readonly quantity: number }
  | { readonly fn: 5; readonly address: number; readonly on: boolean }
  | { readonly fn: 6; readonly address: number; readonly value: number }
  | { readonly fn: 15; readonly address: number; readonly bits: Uint8Array }
  | { readonly fn: 16; readonly address: number; readonly registers: Uint16Array }
  | { readonly fn: 22; readonly address: number; readonly andMask: number; readonly orMask: number }
  | {
      readonly fn: 23;
      readonly address: number;
      readonly quantity: number;
      readonly writeAddress: number;
      readonly registers: Uint16Array;
    }
  | { readonly fn: 43; readonly level: 1 | 2 | 3 | 4; readonly object: number };

/** `other`: a frame that answers something else than what was asked, by function, length or repeated fields. */
export type ReplyVerdict = "good" | "exception" | "other";

/**
 * The bytes of a request.
 * @throws AppError `internal.invalid_argument` for what the standard has no frame for: callers check what users gave.
 */
export function encodeRequest(request: ModbusRequest): Uint8Array {
  switch (request.fn) {
    case 1:
    case 2:
      return words(request.fn, request.address, within("quantity", request.quantity, 1, LIMIT.readBits));
    case 3:
    case 4:
      return words(request.fn, request.address, within("quantity", request.quantity, 1, LIMIT.readRegisters));
    case 5:
      return words(5, request.address, request.on ? 0xff00 : 0);
    case 6:
      return words(6, request.address, request.value);
    case 15: {
      const quantity = within("quantity", request.bits.length, 1, LIMIT.writeBits);
      return joined(words(15, request.address, quantity), packBits(request.bits));
    }
    case 16: {
      const quantity = within("quantity", request.registers.length, 1, LIMIT.writeRegisters);
      return joined(words(16, request.address, quantity), packRegisters(request.registers));
    }
    case 22:
      return words(22, request.address, request.andMask, request.orMask);
    case 23: {
      const quantity = within("quantity", request.quantity, 1, LIMIT.readRegisters);
      const written = within("registers", request.registers.length, 1, LIMIT.readWriteRegisters);
      return joined(
        words(23, request.address, quantity, request.writeAddress, written),
        packRegisters(request.registers),
      );
    }
    case 43:
      return Uint8Array.of(
        43,
        MEI_DEVICE_IDENTIFICATION,
        request.level,
        within("object", request.object, 0, 255),
      );
  }
}

/** The request in `pdu`, as a server reads it; undefined where it is none, or one that the standard forbids. */
export function decodeRequest(pdu: Uint8Array): ModbusRequest | undefined {
  const fn = pdu[0];
  if (fn === 43) {
    const level = pdu[2];
    if (pdu.length !== 4 || pdu[1] !== MEI_DEVICE_IDENTIFICATION) return undefined;
    return level === 1 || level === 2 || level === 3 || level === 4
      ? { fn, level, object: pdu[3] as number }
      : undefined;
  }
  if (pdu.length < 5) return undefined;
  const address = word(pdu, 1);
  const second = word(pdu, 3);
  switch (fn) {
    case 1:
    case 2:
    case 3:
    case 4: {
      const most = fn <= 2 ? LIMIT.readBits : LIMIT.readRegisters;
      const ok = pdu.length === 5 && second >= 1 && second <= most;
      return ok ? { fn, address, quantity: second } : undefined;
    }
    case 5:
      return pdu.length === 5 && (second === 0 || second === 0xff00)
        ? { fn, address, on: second !== 0 }
        : undefined;
    case 6:
      return pdu.length === 5 ? { fn, address, value: second } : undefined;
    case 15: {
      const bytes = (second + 7) >> 3;
      const ok = second >= 1 && second <= LIMIT.writeBits && pdu[5] === bytes && pdu.length === 6 + bytes;
      return ok ? { fn, address, bits: unpackBits(pdu, 6, second) } : undefined;
    }
    case 16: {
      const ok =
        second >= 1 &&
        second <= LIMIT.writeRegisters &&
        pdu[5] === 2 * second &&
        pdu.length === 6 + 2 * second;
      return ok ? { fn, address, registers: unpackRegisters(pdu, 6, second) } : undefined;
    }
    case 22:
      return pdu.length === 7 ? { fn, address, andMask: second, orMask: word(pdu, 5) } : undefined;
    case 23: {
      if (pdu.length < 10) return undefined;
      const written = word(pdu, 7);
      const ok =
        second >= 1 &&
        second <= LIMIT.readRegisters &&
        written >= 1 &&
        written <= LIMIT.readWriteRegisters &&
        pdu[9] === 2 * written &&
        pdu.length === 10 + 2 * written;
      return ok
        ? {
            fn,
            address,
            quantity: second,
            writeAddress: word(pdu, 5),
            registers: unpackRegisters(pdu, 10, written),
          }
        : undefined;
    }
    default:
      return undefined;
  }
}

/**
 * How long the good reply to `request` is, function code included; undefined for a device identification, whose length
 * only the reply itself tells.
 */
export function replyLength(request: Uint8Array): number | undefined {
  switch (request[0]) {
    case 1:
    case 2:
      return 2 + ((word(request, 3) + 7) >> 3);
    case 3:
    case 4:
    case 23:
      return 2 + 2 * word(request, 3);
    case 22:
      return 7;
    case 43:
      return undefined;
    default:
      return 5;
  }
}

/** Whether `bytes[start … end)` answers `request`: function, length, byte count and repeated fields must all fit. */
export function judgeReply(request: Uint8Array, bytes: Uint8Array, start: number, end: number): ReplyVerdict {
  const fn = request[0] as number;
  const got = bytes[start];
  if (got === (fn | 0x80))
    return end - start === 2 && (bytes[start + 1] as number) > 0 ? "exception" : "other";
  if (got !== fn) return "other";
  const expected = replyLength(request) ?? identificationLength(bytes, start, end);
  if (end - start !== expected) return "other";
  if (isRead(fn)) return bytes[start + 1] === expected - 2 ? "good" : "other";
  // The reply to a device identification repeats kind and level; the reply to a write what was asked for.
  const repeated = fn === 43 ? 3 : expected;
  for (let at = 1; at < repeated; at++) if (bytes[start + at] !== request[at]) return "other";
  return "good";
}

/**
 * How long the device identification that begins at `start` is; undefined when its end is not within `end` yet.
 * A reply that lies about its objects is at most as long as the longest PDU.
 */
export function identificationLength(bytes: Uint8Array, start: number, end: number): number | undefined {
  if (start + 7 > end) return undefined;
  let at = start + 7;
  for (let left = bytes[start + 6] as number; left > 0; left--) {
    if (at + 2 > end || at - start > MAX_PDU_BYTES) return undefined;
    at += 2 + (bytes[at + 1] as number);
  }
  return at <= end && at - start <= MAX_PDU_BYTES ? at - start : undefined;
}

/** The good reply to a read, as a server sends it: byte count and data. */
export function encodeReadReply(fn: number, data: Uint8Array): Uint8Array {
  const reply = new Uint8Array(2 + data.length);
  reply[0] = fn;
  reply[1] = data.length;
  reply.set(data, 2);
  return reply;
}

/** The good reply to a write, as a server sends it: what was asked for, once more. */
export function encodeWriteReply(request: Uint8Array): Uint8Array {
  return request.slice(0, replyLength(request));
}

/** The reply that names a reason, as a server sends it. */
export function encodeException(fn: number, code: number): Uint8Array {
  return Uint8Array.of(fn | 0x80, code);
}

/** True for functions whose reply is a byte count and data. */
export function isRead(fn: number): boolean {
  return (fn >= 1 && fn <= 4) || fn === FUNCTION.readWriteRegisters;
}

/** Bits as the wire packs them: the first one is the lowest of the first byte. */
export function packBits(bits: Uint8Array): Uint8Array {
  const packed = new Uint8Array((bits.length + 7) >> 3);
  for (let at = 0; at < bits.length; at++) {
    if (bits[at] !== 0) packed[at >> 3] = (packed[at >> 3] as number) | (1 << (at & 7));
  }
  return packed;
}

/** Registers as the wire packs them: the high byte first. */
export function packRegisters(registers: Uint16Array): Uint8Array {
  const packed = new Uint8Array(2 * registers.length);
  for (let at = 0; at < registers.length; at++) {
    packed[2 * at] = (registers[at] as number) >> 8;
    packed[2 * at + 1] = (registers[at] as number) & 0xff;
  }
  return packed;
}

function unpackBits(bytes: Uint8Array, start: number, quantity: number): Uint8Array {
  const bits = new Uint8Array(quantity);
  for (let at = 0; at < quantity; at++) bits[at] = ((bytes[start + (at >> 3)] as number) >> (at & 7)) & 1;
  return bits;
}

function unpackRegisters(bytes: Uint8Array, start: number, quantity: number): Uint16Array {
  const registers = new Uint16Array(quantity);
  for (let at = 0; at < quantity; at++) registers[at] = word(bytes, start + 2 * at);
  return registers;
}

function word(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

function words(fn: number, ...values: readonly number[]): Uint8Array {
  const pdu = new Uint8Array(1 + 2 * values.length);
  pdu[0] = fn;
  values.forEach((value, index) => {
    within("a field", value, 0, 0xffff);
    pdu[1 + 2 * index] = value >> 8;
    pdu[2 + 2 * index] = value & 0xff;
  });
  return pdu;
}

function joined(head: Uint8Array, data: Uint8Array): Uint8Array {
  const pdu = new Uint8Array(head.length + 1 + data.length);
  pdu.set(head);
  pdu[head.length] = data.length;
  pdu.set(data, head.length + 1);
  return pdu;
}

function within(what: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new AppError(
    "internal.invalid_argument",
    `${what} of a Modbus request is ${value}, not ${least} to ${most}`,
  );
}
