/** The journal of one partition's sessions. */
import { session as wire } from "@myelin/contract";
import type { CoreLog } from "../core/ports.js";
import {
  type JournalCodec,
  type JournalEnd,
  type JournalOptions,
  type JournalPort,
  JournalWriter,
  Replay,
} from "../journal/journal.js";
import { applyRecord, snapshotOf } from "./records.js";
import { SessionStore } from "./session-store.js";

export type { JournalPort } from "../journal/journal.js";

type JournalRecord = wire.JournalRecord;

const codec: JournalCodec<JournalRecord> = {
  encode: (batch) => wire.JournalBatch.encode(batch as wire.JournalBatch).finish(),
  decode: (data) => wire.JournalBatch.decode(data),
  sizeOf: ({ record }) => (record?.$case === "message" ? record.value.record.length + 64 : 128),
};

/** Reads what is there into sessions. */
export class JournalReplay extends Replay<SessionStore, JournalRecord> {
  constructor(port: Pick<JournalPort, "read" | "lastSequence">, log: CoreLog, seed: number) {
    super({
      port,
      log,
      codec,
      apply: applyRecord,
      empty: (before) => {
        const store = new SessionStore(seed);
        // Numbers go on: what a client or a log has seen is not used for something else.
        if (before !== undefined) store.nextSession = before.nextSession;
        return store;
      },
    });
  }
}

/** The writing end. */
export class Journal extends JournalWriter<JournalRecord> {
  constructor(options: JournalOptions, end: JournalEnd & { readonly bytes: number }) {
    super(options, codec, end);
  }

  /** Writes everything there is, and removes what lies before when that is stored. What is added later comes behind it. */
  compact(store: SessionStore, stored: () => void): void {
    this.rewrite(snapshotOf(store), stored);
  }
}
