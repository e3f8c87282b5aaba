/** Bounds of the connections of one port. */
import type { TokenBucketLimit } from "@myelin/kernel";

/** 0 turns a time off; the counts are always bounds. */
export interface ConnectionLimits {
  /** Largest packet, frame or message, in bytes. */
  readonly maxFrameBytes: number;
  /** Until the first complete packet that says who the client is. */
  readonly firstPacketMs: number;
  /** Longest silence of an admitted client; for protocols without a heartbeat of their own. */
  readonly idleMs: number;
  /** Pause after which a silent client is asked for a sign of life. */
  readonly heartbeatMs: number;
  /** Unanswered heartbeats before it is disconnected. */
  readonly heartbeatMisses: number;
  /** Messages per second of one connection; undefined: no limit. */
  readonly rate: TokenBucketLimit | undefined;
  /** Bytes waiting to be written to one client before messages for it are dropped. */
  readonly maxWriteBufferBytes: number;
}

/** Bounds over all ports of the process. */
export interface GlobalLimits {
  readonly maxConnections: number;
  readonly maxConnectionsPerAddress: number;
  /** Accepted sockets of all ports; at this number the process stops listening until some are gone. Absent: no bound. */
  readonly maxSockets?: number;
  /** Bytes of chunks kept unread while congested; beyond it they are taken and the senders drop what is too much. */
  readonly maxHeldBytes: number;
  /** How many ended connections are remembered with their time. */
  readonly rememberedDisconnects: number;
}

export const DEFAULT_CONNECTION_LIMITS: ConnectionLimits = {
  maxFrameBytes: 1024 * 1024,
  firstPacketMs: 10_000,
  idleMs: 0,
  heartbeatMs: 30_000,
  heartbeatMisses: 2,
  rate: undefined,
  maxWriteBufferBytes: 1024 * 1024,
};

export const DEFAULT_GLOBAL_LIMITS: GlobalLimits = {
  maxConnections: 200_000,
  maxConnectionsPerAddress: 200_000,
  maxHeldBytes: 64 * 1024 * 1024,
  rememberedDisconnects: 10_000,
};
