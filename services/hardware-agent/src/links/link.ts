/** What a physical line is to those who use it. */

/** Sorts of lines; the key of a `Bus` says which one it is. */
export const LINK_KINDS = ["serial", "tcp", "udp", "gpio", "simulated"] as const;

/** One of them. */
export type LinkKind = (typeof LINK_KINDS)[number];

/** Who goes first on a line, from left to right. */
export const PRIORITIES = ["stop", "command", "poll", "doctor"] as const;

/** How urgent a request is. */
export type Priority = (typeof PRIORITIES)[number];

/** A physical line, shared by the units on it. What it can do beyond this depends on its kind: a driver says which kinds it can be spoken on. */
export interface Link {
  /** Name of the `Bus`. */
  readonly name: string;
  readonly kind: LinkKind;
  /** Makes the line usable, or finds it so; called before each conversation with a unit. @throws AppError `hardware.line_down` */
  connect(signal: AbortSignal): Promise<void>;
  /** Gives it up. Safe twice. */
  disconnect(): Promise<void>;
}
