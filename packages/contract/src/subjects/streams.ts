/** The JetStream streams and buckets of Myelin, as data; packages/bus creates and updates them. */
import * as subjects from "./subjects.js";

/** What a deployment may set; sizes in bytes, ages in milliseconds, 0 = unlimited. */
export interface StreamSpec {
  readonly name: string;
  readonly subjects: readonly string[];
  /** `work`: a message is deleted when its one consumer has acknowledged it. `limits`: kept until a limit. */
  readonly retention: "work" | "limits";
  /** What a full stream does: events are refused, never discarded. */
  readonly whenFull: "refuse_new" | "discard_old";
  readonly maxBytes: number;
  readonly maxAgeMs: number;
  readonly maxPerSubject: number;
  /** Window in which the server removes doubled `Nats-Msg-Id`. */
  readonly duplicateWindowMs: number;
  /** Messages may carry a time to live of their own. */
  readonly messageTtl?: boolean;
  /** Many messages may be stored together, all or none, with one sync to disk. */
  readonly atomicBatches?: boolean;
}

const GIB = 1024 ** 3;

/** Defaults of the embedded box. */
export const STREAMS = {
  events: {
    name: "MLN_EVENTS",
    subjects: [subjects.allEventBatches()],
    retention: "work",
    whenFull: "refuse_new",
    maxBytes: 8 * GIB,
    maxAgeMs: 0,
    maxPerSubject: 0,
    duplicateWindowMs: 120_000,
  },
  unrouted: {
    name: "MLN_UNROUTED",
    subjects: [subjects.allUnroutedBatches()],
    retention: "limits",
    whenFull: "refuse_new",
    maxBytes: 1 * GIB,
    maxAgeMs: 0,
    maxPerSubject: 0,
    duplicateWindowMs: 120_000,
  },
  overflow: {
    name: "MLN_OVERFLOW",
    subjects: [subjects.allOverflowBatches()],
    retention: "work",
    whenFull: "refuse_new",
    maxBytes: 8 * GIB,
    maxAgeMs: 0,
    maxPerSubject: 0,
    duplicateWindowMs: 120_000,
  },
  dedupe: {
    name: "MLN_DEDUPE",
    subjects: [subjects.allDedupeIds()],
    retention: "limits",
    whenFull: "discard_old",
    maxBytes: GIB / 4,
    maxAgeMs: 600_000,
    maxPerSubject: 4096,
    duplicateWindowMs: 120_000,
  },
  sessions: {
    name: "MLN_SESSIONS",
    subjects: [subjects.allSessionJournals()],
    retention: "limits",
    whenFull: "refuse_new",
    maxBytes: 2 * GIB,
    maxAgeMs: 0,
    maxPerSubject: 0,
    duplicateWindowMs: 120_000,
  },
  audit: {
    name: "MLN_AUDIT",
    subjects: [subjects.allAuditLogs()],
    retention: "limits",
    whenFull: "discard_old",
    maxBytes: GIB / 2,
    maxAgeMs: 0,
    maxPerSubject: 0,
    duplicateWindowMs: 120_000,
  },
  commands: {
    name: "MLN_COMMANDS",
    subjects: [subjects.allCommandJournals()],
    retention: "limits",
    whenFull: "refuse_new",
    maxBytes: 1 * GIB,
    maxAgeMs: 0,
    maxPerSubject: 0,
    duplicateWindowMs: 120_000,
  },
  presence: {
    name: "MLN_PRESENCE",
    subjects: [subjects.allPresenceJournals()],
    retention: "limits",
    whenFull: "refuse_new",
    maxBytes: 1 * GIB,
    maxAgeMs: 0,
    maxPerSubject: 0,
    duplicateWindowMs: 120_000,
  },
  flows: {
    name: "MLN_FLOWS",
    subjects: [subjects.allFlowJournals()],
    retention: "limits",
    whenFull: "refuse_new",
    maxBytes: 1 * GIB,
    maxAgeMs: 0,
    maxPerSubject: 0,
    duplicateWindowMs: 120_000,
  },
  rules: {
    name: "MLN_RULES",
    subjects: [subjects.allRuleJournals()],
    retention: "limits",
    whenFull: "refuse_new",
    maxBytes: 1 * GIB,
    maxAgeMs: 0,
    maxPerSubject: 0,
    duplicateWindowMs: 120_000,
  },
  retained: {
    name: "MLN_RETAINED",
    subjects: [subjects.allRetainedMessages()],
    retention: "limits",
    whenFull: "refuse_new",
    maxBytes: 1 * GIB,
    maxAgeMs: 0,
    maxPerSubject: 1,
    duplicateWindowMs: 120_000,
    messageTtl: true,
    atomicBatches: true,
  },
} as const satisfies Record<string, StreamSpec>;

/** Key-value buckets. */
export const BUCKETS = {
  /** What all services of a deployment must agree on: the number of partitions. */
  deployment: { name: "MLN_DEPLOYMENT", history: 1, ttlMs: 0 },
  /** Leases: key = partition number, or `bridge.<name>`; value = JSON Lease. */
  leases: { name: "MLN_LEASES", history: 1, ttlMs: 0 },
  /** Ledger snapshots by `<service>.<instance>.<incarnation>`, so that kill -9 closes with known books. */
  ledger: { name: "MLN_LEDGER", history: 1, ttlMs: 7 * 24 * 3600_000 },
  /** Names and subscriptions of apps, so that events wait for an app that is away. */
  apps: { name: "MLN_APPS", history: 1, ttlMs: 0 },
  /** Records of network devices; key = `deviceKey`, value = `myelin.registry.v1.Device`. */
  devices: { name: "MLN_DEVICES", history: 1, ttlMs: 0, atomic: true },
  /** Shadows of devices; key = `shadowKey`, value = `myelin.shadow.v1.Record`. */
  shadows: { name: "MLN_SHADOWS", history: 1, ttlMs: 0, atomic: true },
} as const;
