/** How the commands of a partition are written down. */
import { command as wire } from "@myelin/contract";
import type { JournalCodec } from "../journal/journal.js";

const RECORD_BYTES = 64;

export const commandCodec: JournalCodec<wire.JournalRecord> = {
  encode: (batch) => wire.JournalBatch.encode(batch as wire.JournalBatch).finish(),
  decode: (data) => wire.JournalBatch.decode(data),
  sizeOf: ({ record }) => {
    if (record?.$case !== "command") return RECORD_BYTES;
    const { parameters, steps } = record.value;
    return 4 * RECORD_BYTES + parameters.length + steps.length * RECORD_BYTES;
  },
};
