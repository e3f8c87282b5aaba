/** Requests and replies that tests of the codec share. */
import fc from "fast-check";
import { encodeReadReply, encodeWriteReply, isRead, type ModbusRequest, replyLength } from "../pdu.js";

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));
const words = (max: number) =>
  fc.array(fc.nat(0xffff), { minLength: 1, maxLength: max }).map((items) => Uint16Array.from(items));

/** Any request there is. */
export const anyRequest: fc.Arbitrary<ModbusRequest> = fc.oneof(
  fc.record({
    fn: fc.constantFrom(1 as const, 2 as const),
    address: fc.nat(0xffff),
    quantity: fc.integer({ min: 1, max: 2000 }),
  }),
  fc.record({
    fn: fc.constantFrom(3 as const, 4 as const),
    address: fc.nat(0xffff),
    quantity: fc.integer({ min: 1, max: 125 }),
  }),
  fc.record({ fn: fc.constant(5 as const), address: fc.nat(0xffff), on: fc.boolean() }),
  fc.record({ fn: fc.constant(6 as const), address: fc.nat(0xffff), value: fc.nat(0xffff) }),
  fc.record({
    fn: fc.constant(15 as const),
    address: fc.nat(0xffff),
    bits: fc.array(fc.nat(1), { minLength: 1, maxLength: 300 }).map((bits) => Uint8Array.from(bits)),
  }),
  fc.record({ fn: fc.constant(16 as const), address: fc.nat(0xffff), registers: words(123) }),
  fc.record({
    fn: fc.constant(22 as const),
    address: fc.nat(0xffff),
    andMask: fc.nat(0xffff),
    orMask: fc.nat(0xffff),
  }),
  fc.record({
    fn: fc.constant(23 as const),
    address: fc.nat(0xffff),
    quantity: fc.integer({ min: 1, max: 125 }),
    writeAddress: fc.nat(0xffff),
    registers: words(121),
  }),
  fc.record({
    fn: fc.constant(43 as const),
    level: fc.constantFrom(1 as const, 2 as const, 3 as const, 4 as const),
    object: fc.nat(255),
  }),
);

const identification = hex("2b 0e 01 01 00 00 02 00 03 41 43 4d 01 02 31 32");

/** A good reply to the request, as a server that fills its registers from `seed` sends it. */
export function goodReply(request: Uint8Array, seed: number): Uint8Array {
  if (request[0] === 43) {
    const reply = identification.slice();
    reply[2] = request[2] as number;
    return reply;
  }
  if (!isRead(request[0] as number)) return encodeWriteReply(request);
  const length = (replyLength(request) as number) - 2;
  return encodeReadReply(
    request[0] as number,
    Uint8Array.from({ length }, (_, at) => (seed * 31 + at * 7) & 0xff),
  );
}
