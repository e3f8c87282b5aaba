/** Whether an audit log is whole: each batch names the number and the SHA-256 of the one before. */
import { createHash } from "node:crypto";
import { audit, STREAMS, subjects } from "@myelin/contract";
import type { Bus } from "./api.js";
import { createSubjectLog, type LogEntry } from "./nats/subject-log.js";

/** What is wrong with a batch: some before it are missing, what was before it or it itself is not what was written, or it is no batch. */
export type AuditFault = "missing" | "changed" | "unreadable";

/** How far the log of a partition holds. */
export interface AuditChain {
  readonly partition: number;
  /** Batches that hold, and what stands in them. */
  readonly batches: number;
  readonly entries: number;
  /** Number of the first batch that is there; above 1 where older ones have left the stream. 0: there is none. */
  readonly firstNumber: number;
  /** The first link that does not hold; nothing is said of what comes behind it. */
  readonly broken?: {
    readonly fault: AuditFault;
    /** In the stream. */
    readonly sequence: number;
    readonly message: string;
    /** Of the last entry that holds, Unix microseconds; 0: there is none. */
    readonly afterUs: number;
  };
}

const READ = { messages: 256, bytes: 4 * 1024 * 1024 };

/** The SHA-256 that the batch behind this one must name. */
export function auditHash(batch: Uint8Array): Buffer {
  return createHash("sha256").update(batch).digest();
}

/**
 * Walks the log of a partition from its oldest batch on. Batches that were taken from its very end leave no trace in it: compare the
 * last number with one that was noted before.
 * @throws AppError `bus.*`
 */
export async function verifyAuditLog(bus: Bus, partition: number): Promise<AuditChain> {
  const log = createSubjectLog(bus, STREAMS.audit.name);
  const subject = subjects.auditLog(partition);
  const last = await log.lastSequence(subject);
  return await verifyAuditChain(partition, last, (from) => log.read(subject, from, READ));
}

/**
 * The same over anything that can be read from a sequence on.
 * @param last sequence of the newest batch
 * @throws whatever `read` throws
 */
export async function verifyAuditChain(
  partition: number,
  last: number,
  read: (from: number) => Promise<readonly LogEntry[]>,
): Promise<AuditChain> {
  let [batches, entries, firstNumber, number, afterUs] = [0, 0, 0, 0, 0];
  let hash: Buffer | undefined;
  const broken = (fault: AuditFault, sequence: number, message: string): AuditChain => ({
    ...{ partition, batches, entries, firstNumber },
    broken: { fault, sequence, message, afterUs },
  });
  for (let from = 1; from <= last; ) {
    const found = await read(from);
    if (found.length === 0) return broken("missing", from, "the end of the log cannot be found");
    for (const { sequence, data } of found) {
      from = sequence + 1;
      const batch = tryDecode(data);
      if (batch === undefined) return broken("unreadable", sequence, "this is no batch of an audit log");
      if (hash !== undefined && batch.number !== number + 1)
        return broken("missing", sequence, `batch ${batch.number} comes behind batch ${number}`);
      if (hash !== undefined && !hash.equals(batch.previous))
        return broken("changed", sequence, `batch ${number} is not the one that batch ${batch.number} names`);
      if (batch.number === 1 && batch.previous.length > 0)
        return broken("missing", sequence, "the first batch names one before it");
      if (firstNumber === 0) firstNumber = batch.number;
      number = batch.number;
      hash = auditHash(data);
      batches += 1;
      entries += batch.entries.length;
      afterUs = batch.entries.at(-1)?.atUs ?? afterUs;
    }
  }
  return { partition, batches, entries, firstNumber };
}

function tryDecode(data: Uint8Array): audit.Batch | undefined {
  try {
    return audit.Batch.decode(data);
  } catch {
    // Told by the caller as what it is.
    return undefined;
  }
}
