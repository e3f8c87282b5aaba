/** Reads back whose share lies under a subject of the overflow. */
import { unescapeToken } from "./escape.js";
import { overflowBatch } from "./subjects.js";

/** Whose share it is, in which partition. */
export interface OverflowOwner {
  readonly kind: string;
  readonly target: string;
  readonly partition: number;
}

/** The arguments that `subjects.overflowBatch` was given; undefined for a subject that is none of its. */
export function overflowOwner(subject: string): OverflowOwner | undefined {
  const [, , , kindToken = "", targetToken = "", partitionToken = ""] = subject.split(".");
  const kind = unescapeToken(kindToken);
  const target = unescapeToken(targetToken);
  const partition = /^\d+$/.test(partitionToken) ? Number(partitionToken) : -1;
  if (kind === undefined || target === undefined || !Number.isSafeInteger(partition) || partition < 0)
    return undefined;
  return overflowBatch(kind, target, partition) === subject ? { kind, target, partition } : undefined;
}
