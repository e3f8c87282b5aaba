/** How the runs of a partition are written down. */
import { flow as wire } from "@myelin/contract";
import type { JournalCodec } from "../journal/journal.js";

/** What is added to the size of its texts. */
const ABOUT_BYTES = 96;

/** Batches of records, as the contract has them. */
export const flowCodec: JournalCodec<wire.JournalRecord> = {
  encode: (batch) => wire.JournalBatch.encode(batch as wire.JournalBatch).finish(),
  decode: (data) => wire.JournalBatch.decode(data),
  sizeOf,
};

/** About. */
export function sizeOf({ record }: wire.JournalRecord): number {
  switch (record?.$case) {
    case "version":
      return ABOUT_BYTES + record.value.spec.length;
    case "created":
      return 2 * ABOUT_BYTES + record.value.input.length;
    case "happened":
      return ABOUT_BYTES + record.value.event.length;
    default:
      return ABOUT_BYTES;
  }
}
