/** What the core needs to know of the configuration, as plain numbers. */

/** Sizes in bytes, times in milliseconds. `config.ts` describes each for operators. */
export interface BridgeSettings {
  readonly maxSessions: number;
  readonly maxFrameBytes: number;
  readonly helloTimeoutMs: number;
  readonly heartbeatMs: number;
  readonly health: {
    readonly intervalMs: number;
    readonly timeoutMs: number;
    /** Failures, and good answers, in a row that change the verdict. */
    readonly threshold: number;
  };
  /** `default` where the app asks for nothing; more than `max` is cut. */
  readonly credit: {
    readonly defaultEnvelopes: number;
    readonly maxEnvelopes: number;
    readonly defaultBytes: number;
    readonly maxBytes: number;
  };
  /** Bytes per session and lane that may wait here for credit or for the transport. */
  readonly heldBytes: number;
  readonly publish: {
    /** Envelopes per second and app; `burst` at once. */
    readonly perSecond: number;
    readonly burst: number;
    /** Publishes of one session that may wait for their outcome; reading pauses at either. */
    readonly maxUnsettled: number;
    readonly maxUnsettledBytes: number;
  };
  readonly calls: {
    /** Requests and sends of one session, and requests to one session, that may wait for their answer. */
    readonly maxPending: number;
    readonly defaultTimeoutMs: number;
    readonly maxTimeoutMs: number;
  };
  /** How long a drained session may take to acknowledge before its stream is closed. */
  readonly drainTimeoutMs: number;
}

const KIB = 1024;
const MIB = 1024 * KIB;

/** The defaults of the embedded box. */
export const DEFAULT_SETTINGS: BridgeSettings = {
  maxSessions: 1_000,
  maxFrameBytes: 8 * MIB,
  helloTimeoutMs: 5_000,
  heartbeatMs: 30_000,
  health: { intervalMs: 10_000, timeoutMs: 5_000, threshold: 3 },
  credit: { defaultEnvelopes: 65_536, maxEnvelopes: 1_048_576, defaultBytes: 8 * MIB, maxBytes: 64 * MIB },
  heldBytes: 64 * MIB,
  publish: { perSecond: 500_000, burst: 500_000, maxUnsettled: 1_024, maxUnsettledBytes: 16 * MIB },
  calls: { maxPending: 1_024, defaultTimeoutMs: 5_000, maxTimeoutMs: 120_000 },
  drainTimeoutMs: 5_000,
};
