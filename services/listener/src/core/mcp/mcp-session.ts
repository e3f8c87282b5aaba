/** What of an MCP device outlives its connection: how far its events are stored, and what it has not acknowledged. */
import type { control } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { Identity } from "../admission.js";
import type { McpConnection } from "./mcp-connection.js";

/** Told once: acknowledged, or why not. */
export type DownlinkAck = (error: AppError | undefined) => void;

interface Kept {
  readonly sequence: number;
  readonly frame: Buffer;
  acked: DownlinkAck | undefined;
}

/** Bounds of what is kept for one device. */
export interface SessionLimits {
  readonly maxMessages: number;
  readonly maxBytes: number;
}

export class McpSession {
  /** Events up to this sequence are stored; see `Welcome.last_stored_sequence`. */
  storedSequence = 0;
  nextSequence = 1;
  /** The connection that speaks for it at the moment. */
  connection: McpConnection | undefined = undefined;
  /** Monotonic; while there is no connection. */
  expiresAtMs = 0;
  private kept: Map<string, Kept> | undefined = undefined;
  private keptBytes = 0;

  constructor(
    readonly id: number,
    readonly identity: Identity,
    private readonly limits: SessionLimits,
  ) {}

  /** Messages on the way to the device without its acknowledgement. */
  get unacknowledged(): number {
    return this.kept?.size ?? 0;
  }

  isOf(tenant: string, deviceId: string): boolean {
    return this.identity.tenant === tenant && this.identity.deviceId === deviceId;
  }

  /** @throws AppError `queue.full` when the device has not acknowledged as much as may be kept */
  keep(id: string, frame: Buffer, acked: DownlinkAck | undefined): void {
    this.kept ??= new Map();
    if (this.kept.size >= this.limits.maxMessages || this.keptBytes + frame.length > this.limits.maxBytes) {
      throw new AppError(
        "queue.full",
        `${this.identity.deviceId} has not acknowledged ${this.kept.size} messages`,
      );
    }
    this.kept.set(id, { sequence: this.nextSequence++, frame, acked });
    this.keptBytes += frame.length;
  }

  /** The device has taken the message, or refused it. */
  settle(id: string, error?: AppError): void {
    const kept = this.kept?.get(id);
    if (kept === undefined) return;
    this.kept!.delete(id);
    this.keptBytes -= kept.frame.length;
    kept.acked?.(error);
  }

  /** The device has taken everything up to this. */
  settleUpTo(sequence: number): void {
    for (const [id, kept] of this.kept ?? []) {
      if (kept.sequence > sequence) return;
      this.settle(id);
    }
  }

  /** Nobody waits for this acknowledgement any more; the message stays. */
  forgetWaiter(id: string): void {
    const kept = this.kept?.get(id);
    if (kept !== undefined) kept.acked = undefined;
  }

  /** Frames to send again, oldest first. */
  *frames(): Iterable<Buffer> {
    for (const { frame } of this.kept?.values() ?? []) yield frame;
  }

  /** The session goes elsewhere or ends: whoever waits hears of it. Returns how many messages were left. */
  giveUp(): number {
    const { kept } = this;
    this.kept = undefined;
    this.keptBytes = 0;
    for (const { acked } of kept?.values() ?? []) {
      acked?.(new AppError("device.left", `${this.identity.deviceId} left before it acknowledged`));
    }
    return kept?.size ?? 0;
  }

  toState(): control.SessionState {
    const messages = [...(this.kept ?? [])].map(([id, { sequence, frame }]) => ({ id, sequence, frame }));
    return {
      found: true,
      storedSequence: this.storedSequence,
      nextSequence: this.nextSequence,
      messages,
    };
  }

  /** Takes over what another listener has kept. */
  restore(state: control.SessionState): void {
    this.storedSequence = state.storedSequence;
    this.nextSequence = state.nextSequence;
    this.kept = new Map(
      state.messages.map(({ id, sequence, frame }) => [id, { sequence, frame, acked: undefined }]),
    );
    this.keptBytes = state.messages.reduce((sum, { frame }) => sum + frame.length, 0);
  }
}
