/** Walks the fields of a Protobuf message whose bytes nobody vouches for. All lengths are checked against a limit. */

/** Largest field number there is. */
const MAX_FIELD_NUMBER = 0x1fff_ffff;

/** A walk over one message: reused, so that walking allocates nothing. Offsets are into the bytes given to `begin`. */
export class FieldWalk {
  field = 0;
  wireType = 0;
  /** The value: body of length-delimited fields, all bytes of others. */
  start = 0;
  end = 0;
  /** Why `next` returned false: undefined at the end of the message, else what is wrong. */
  problem: string | undefined;

  private bytes: Uint8Array = new Uint8Array(0);
  private limit = 0;

  /** Begins a walk over `[start, end)`. */
  begin(bytes: Uint8Array, start: number, end: number): this {
    this.bytes = bytes;
    this.start = start;
    this.end = start;
    this.limit = end;
    this.problem = undefined;
    return this;
  }

  /** Moves to the next field; false at the end and at broken bytes, see `problem`. */
  next(): boolean {
    const from = this.end;
    if (from >= this.limit) return false;
    const valueAt = this.varintEnd(from);
    if (valueAt === 0) return this.fail("a broken tag");
    const tag = this.varint(from, valueAt);
    this.field = Math.floor(tag / 8);
    this.wireType = tag % 8;
    if (this.field === 0 || this.field > MAX_FIELD_NUMBER) return this.fail(`field number ${this.field}`);
    let start = valueAt;
    let end: number;
    if (this.wireType === 0) end = this.varintEnd(valueAt);
    else if (this.wireType === 1) end = valueAt + 8;
    else if (this.wireType === 5) end = valueAt + 4;
    else if (this.wireType === 2) {
      start = this.varintEnd(valueAt);
      end = start === 0 ? 0 : start + this.varint(valueAt, start);
    } else return this.fail(`wire type ${this.wireType}`);
    if (end === 0 || end > this.limit) return this.fail("a value that runs over the end");
    this.start = start;
    this.end = end;
    return true;
  }

  private fail(problem: string): false {
    this.problem = problem;
    this.limit = this.end;
    return false;
  }

  /** Where the varint at `at` ends; 0 when it does not end within ten bytes and the limit. */
  private varintEnd(at: number): number {
    const last = Math.min(this.limit, at + 10);
    for (let i = at; i < last; i++) if (this.bytes[i]! <= 0x7f) return i + 1;
    return 0;
  }

  private varint(at: number, end: number): number {
    let value = 0;
    for (let i = end - 1; i >= at; i--) value = value * 128 + (this.bytes[i]! & 0x7f);
    return value;
  }
}
