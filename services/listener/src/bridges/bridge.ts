/** What a kind of bridge is to the listener: a folder with a `create`, and the bridges it makes. */
import type { BridgeSpec } from "@myelin/config";
import type { Clock } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import type { Admission, Identity } from "../core/admission.js";
import type { ConnectionManager } from "../core/connection-manager.js";
import type { Ingress } from "../core/ingress.js";
import type { SessionHomes } from "../core/session-home.js";
import type { Subscriptions } from "../core/subscriptions.js";

/** Plain numbers of one bridge; they go on over its connections. */
export interface BridgeCounters {
  connects: number;
  failures: number;
  readonly messages: Record<Direction, number>;
  /** `direction,reason` */
  readonly dropped: Map<string, number>;
}

export type Direction = "in" | "out";

/** How it stands with a bridge. */
export interface BridgeStatus {
  readonly state: "connecting" | "connected" | "waiting";
  /** Unix milliseconds since which that is so. */
  readonly sinceMs: number;
  /** Of the latest trouble; stays when it is over. */
  readonly lastError: { readonly code: string; readonly message: string; readonly atMs: number } | undefined;
}

/** Everything a bridge gets from outside. */
export interface BridgeContext {
  /** Of the resource. */
  readonly name: string;
  /** A random word of the deployment, the same for all its listeners. */
  readonly site: string;
  /** Who it is here; its session, which is the outbox, is that of this client. */
  readonly identity: Identity;
  /** False from the moment on at which another listener may run the bridge: ask before anything is done to the other side. */
  readonly isHeld: () => boolean;
  readonly counters: BridgeCounters;
  readonly log: Logger;
  readonly clock: Clock;
  readonly admission: Admission;
  readonly connections: ConnectionManager;
  readonly ingress: Ingress;
  readonly subscriptions: Subscriptions;
  readonly sessionHomes: SessionHomes;
}

/** One bridge on the listener that has its lease. */
export interface Bridge {
  readonly status: BridgeStatus;
  /** Begins to connect, and goes on trying until it is stopped. Called once. */
  start(): void;
  /**
   * `leave`: what was taken is stored first; outbox and session stay for whoever takes over. `lost`: somebody may have taken over, so nothing
   * more is said to anybody. `end`: the bridge is no more, its outbox goes. Resolves within 5 s.
   */
  stop(how: "leave" | "lost" | "end"): Promise<void>;
}

/** What a folder exports as `plugin`. */
export interface BridgePlugin {
  /** Registry key, folder name, key of `remote`. */
  readonly kind: string;
  /** No I/O; `spec` is checked and complete, and its `remote` is of this kind. */
  create(spec: BridgeSpec, ctx: BridgeContext): Bridge;
}

export type BridgeRegistry = Record<string, () => Promise<{ readonly plugin: BridgePlugin }>>;

export function countDropped({ dropped }: BridgeCounters, direction: Direction, reason: string): void {
  const key = `${direction},${reason}`;
  dropped.set(key, (dropped.get(key) ?? 0) + 1);
}
