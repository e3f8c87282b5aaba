/** What everything that starts and stops has in common. */

/** `degraded` means: runs, but something it needs is away; it repairs itself. `failed` means: given up. */
export type ComponentState =
  | "created"
  | "starting"
  | "running"
  | "degraded"
  | "stopping"
  | "stopped"
  | "failed";

/** What a running component says about itself; `reason` is one short sentence for operators. */
export interface ComponentCondition {
  readonly state: "running" | "degraded" | "failed";
  readonly reason?: string;
}

/** The state of one component of a host; nested ones have names such as `listener/mqtt`. */
export interface ComponentStatus {
  readonly name: string;
  readonly state: ComponentState;
  readonly reason?: string;
}

/** A part of a process with a beginning and an end. Constructors do nothing; work begins in `start`. */
export interface Component {
  readonly name: string;
  /** How long the host waits for `stop`, in milliseconds; absent takes the host's own. For those that drain. */
  readonly stopTimeoutMs?: number;
  /** Called once by the host. Resolves when the component is usable; gives up promptly when the signal aborts. */
  start(signal: AbortSignal): Promise<void>;
  /** Safe before, during and after a failed start, and safe twice. Resolves when nothing of it is left. */
  stop(): Promise<void>;
  /** Asked on every readiness check while the component runs; cheap and without I/O. Absent means `running`. */
  condition?(): ComponentCondition;
  /** For components made of others: what they are and how they do. */
  children?(): readonly ComponentStatus[];
}
