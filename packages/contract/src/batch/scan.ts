/** Bounds-checked steps over encoded fields; every one either moves forward or throws. */
import { AppError } from "@myelin/kernel";

/** The error of everything that is not a batch. */
export function badEnvelope(what: string, at: number, cause?: unknown): AppError {
  return new AppError("contract.bad_envelope", `${what}, at byte ${at} of a batch`, {
    details: { at },
    cause,
  });
}

/** Where the varint at `at` ends. */
export function varintEnd(b: Buffer, at: number, limit: number): number {
  const last = Math.min(at + 10, limit);
  for (let i = at; i < last; i++) if (b[i]! <= 0x7f) return i + 1;
  throw badEnvelope("a broken varint", at);
}

/** Where the bytes end whose length is the varint `[at, body)`. */
export function lengthEnd(b: Buffer, at: number, body: number, limit: number): number {
  let length = 0;
  for (let i = body - 1; i >= at; i--) length = length * 128 + (b[i]! & 0x7f);
  if (length > limit - body) throw badEnvelope(`a length of ${length} that runs over the end`, at);
  return body + length;
}

/** Where the value at `at` ends. Groups, which no message of ours has, are refused. */
export function skipValue(b: Buffer, wireType: number, at: number, limit: number): number {
  let end: number;
  if (wireType === 2) {
    const length = b[at]!;
    // Most lengths take one byte.
    end = length <= 0x7f ? at + 1 + length : lengthEnd(b, at, varintEnd(b, at, limit), limit);
  } else if (wireType === 0) end = varintEnd(b, at, limit);
  else if (wireType === 1) end = at + 8;
  else if (wireType === 5) end = at + 4;
  else throw badEnvelope(`wire type ${wireType}`, at);
  if (!(end <= limit)) throw badEnvelope("a field that runs over the end", at);
  return end;
}
