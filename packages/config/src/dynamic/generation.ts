/** Which version of a spec something is said of. */
import { createHash } from "node:crypto";

const BYTES = 6;

/**
 * A whole number that is the same in every process and on every day for specs that mean the same, and another one after a change.
 * Files count no changes, so it is made from the content: compare it for equality only.
 */
export function generationOf(spec: unknown): number {
  const digest = createHash("sha256").update(canonical(spec)).digest();
  return digest.readUIntBE(0, BYTES);
}

/** JSON with sorted keys; null where there is nothing. */
function canonical(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${fields.map(([key, inner]) => `${JSON.stringify(key)}:${canonical(inner)}`).join(",")}}`;
}
