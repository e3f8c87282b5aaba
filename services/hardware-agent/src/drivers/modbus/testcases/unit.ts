/** A unit with all four tables, for tests: answers requests as the standard says. */
import { FUNCTION } from "../functions.table.js";
import {
  decodeRequest,
  encodeException,
  encodeReadReply,
  encodeWriteReply,
  packBits,
  packRegisters,
} from "../pdu.js";

/** Its tables are there to be looked at and changed. `size` is that of each of them. */
export class TestUnit {
  readonly coils: Uint8Array;
  readonly discrete: Uint8Array;
  readonly holding: Uint16Array;
  readonly input: Uint16Array;
  /** Every write that was executed, in order: function and address. */
  readonly writes: string[] = [];

  constructor(readonly size = 200) {
    this.coils = new Uint8Array(size);
    this.discrete = new Uint8Array(size);
    this.holding = new Uint16Array(size);
    this.input = new Uint16Array(size);
  }

  answer(pdu: Uint8Array): Uint8Array {
    const fn = pdu[0] as number;
    const request = decodeRequest(pdu);
    if (request === undefined) return encodeException(fn, 3);
    if (request.fn === FUNCTION.encapsulated) return encodeException(fn, 1);
    const end = request.address + ("quantity" in request ? request.quantity : 1);
    if (end > this.size) return encodeException(fn, 2);
    if (request.fn >= 5) this.writes.push(`${fn}@${request.address}`);
    switch (request.fn) {
      case 1:
      case 2: {
        const table = fn === 1 ? this.coils : this.discrete;
        return encodeReadReply(fn, packBits(table.subarray(request.address, end)));
      }
      case 3:
      case 4: {
        const table = fn === 3 ? this.holding : this.input;
        return encodeReadReply(fn, packRegisters(table.subarray(request.address, end)));
      }
      case 5:
        this.coils[request.address] = request.on ? 1 : 0;
        return encodeWriteReply(pdu);
      case 6:
        this.holding[request.address] = request.value;
        return encodeWriteReply(pdu);
      case 15:
        this.coils.set(request.bits, request.address);
        return encodeWriteReply(pdu);
      case 16:
        this.holding.set(request.registers, request.address);
        return encodeWriteReply(pdu);
      case 22: {
        const old = this.holding[request.address] as number;
        this.holding[request.address] = (old & request.andMask) | (request.orMask & ~request.andMask);
        return encodeWriteReply(pdu);
      }
      case 23:
        this.holding.set(request.registers, request.writeAddress);
        return encodeReadReply(fn, packRegisters(this.holding.subarray(request.address, end)));
    }
  }
}
