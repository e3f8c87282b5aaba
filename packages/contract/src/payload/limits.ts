/** The bounds all codecs share. */
import { AppError } from "@myelin/kernel";
import { MAX_PAYLOAD_BYTES } from "../batch/layout.js";
import type { PayloadLimits } from "./codec.js";

/** Bytes of the largest envelope payload; deeper than any reading and far from the end of the stack. */
export const DEFAULT_PAYLOAD_LIMITS: PayloadLimits = { maxBytes: MAX_PAYLOAD_BYTES, maxDepth: 64 };

export function badPayload(what: string, cause?: unknown): AppError {
  return new AppError("contract.bad_payload", what, { cause });
}

/** @throws AppError `contract.bad_payload` */
export function checkBytes(length: number, limits: Partial<PayloadLimits> | undefined): void {
  const max = limits?.maxBytes ?? DEFAULT_PAYLOAD_LIMITS.maxBytes;
  if (length > max) throw badPayload(`a payload of ${length} bytes, ${max} are accepted`);
}

export function maxDepth(limits: Partial<PayloadLimits> | undefined): number {
  return limits?.maxDepth ?? DEFAULT_PAYLOAD_LIMITS.maxDepth;
}

/**
 * Makes sure that a value is not too deep, before an encoder walks it recursively; a value that holds itself is too deep.
 * @throws AppError `contract.bad_payload`
 */
export function checkValueDepth(value: unknown, limits: Partial<PayloadLimits> | undefined): void {
  const max = maxDepth(limits);
  const visit = (inner: unknown, depth: number): void => {
    if (typeof inner !== "object" || inner === null || ArrayBuffer.isView(inner)) return;
    if (depth > max) throw badPayload(`a value deeper than ${max}`);
    for (const child of Array.isArray(inner) ? inner : Object.values(inner)) visit(child, depth + 1);
  };
  visit(value, 1);
}
