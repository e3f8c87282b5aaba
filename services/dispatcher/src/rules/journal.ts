/** The journal of one partition's rules: where they stand with devices, what has fired and is not done with, alarms. */
import { rule as wire } from "@myelin/contract";
import type { CoreLog } from "../core/ports.js";
import { type JournalCodec, type JournalPort, Replay } from "../journal/journal.js";

/** A record of the journal. */
export type RuleRecord = wire.JournalRecord;

/** About what a window or an alarm takes. */
const RECORD_BYTES = 256;

/** How batches are written. */
export const ruleCodec: JournalCodec<RuleRecord> = {
  encode: (batch) => wire.JournalBatch.encode(batch as wire.JournalBatch).finish(),
  decode: (data) => wire.JournalBatch.decode(data),
  sizeOf: ({ record }) => (record?.$case === "device" ? sizeOfDevice(record.value) : RECORD_BYTES),
};

/** Roughly. */
export function sizeOfDevice({ slots, nodes, rules }: wire.SavedDevice): number {
  let size = 64 + 32 * slots.length + 48 * rules.length;
  for (const { numbers } of nodes) size += 32 + 8 * numbers.length;
  return size;
}

/** What is stored, put together. */
export class RuleStore {
  readonly devices = new Map<string, wire.SavedDevice>();
  readonly firings = new Map<number, wire.Firing>();
  readonly alarms = new Map<string, wire.Alarm>();
  lastNumber = 0;

  apply({ record }: RuleRecord): void {
    switch (record?.$case) {
      case "device":
        this.devices.set(`${record.value.tenant}\0${record.value.device}`, record.value);
        return;
      case "firing":
        this.firings.set(record.value.number, record.value);
        this.lastNumber = Math.max(this.lastNumber, record.value.number);
        return;
      case "settled":
        this.firings.delete(record.value);
        this.lastNumber = Math.max(this.lastNumber, record.value);
        return;
      case "alarm":
        this.alarms.set(record.value.id, record.value);
        return;
      case "forgotten":
        this.alarms.delete(record.value);
        return;
      case undefined:
    }
  }
}

/** Reads what is there. */
export class RuleReplay extends Replay<RuleStore, RuleRecord> {
  constructor(port: Pick<JournalPort, "read" | "lastSequence">, log: CoreLog) {
    super({
      port,
      log,
      codec: ruleCodec,
      apply: (store, record) => store.apply(record),
      empty: (before) => {
        const store = new RuleStore();
        // Numbers go on: a firing's is told to the world.
        store.lastNumber = before?.lastNumber ?? 0;
        return store;
      },
    });
  }
}
