/** One connection per device over all listeners: whoever connects claims the device, whoever holds it longer lets go. */
import type { Bus, Unsubscribe } from "@myelin/bus";
import { control, subjects } from "@myelin/contract";
import type { Clock, Component } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import { changeOf } from "./presence.js";
import type { DeviceSession } from "./session.js";
import type { SessionDirectory, SessionListener } from "./session-directory.js";

/**
 * A claim is for a connection that has just begun, so a session older than this is the older one whatever the clocks of
 * the two machines say; below it their times decide.
 */
const SURELY_OLDER_US = 2_000_000;

export class Takeover implements Component, SessionListener {
  readonly name = "takeover";
  /** Sessions let go because the device connected elsewhere. */
  taken = 0;
  private readonly claims = new Map<number, control.PresenceChange[]>();
  private end: Unsubscribe | undefined;

  constructor(
    private readonly bus: Bus,
    private readonly clock: Clock,
    private readonly directory: SessionDirectory,
    private readonly log: Logger,
  ) {}

  async start(): Promise<void> {
    this.end = this.bus.subscribe(subjects.allSessionTakeovers(), (data) => this.onClaims(data));
  }

  async stop(): Promise<void> {
    this.end?.();
    this.end = undefined;
  }

  opened(session: DeviceSession, partition: number): void {
    if (this.claims.size === 0) queueMicrotask(() => this.flush());
    const claims = this.claims.get(partition);
    const claim = changeOf(session, true, session.openedAtUs, "");
    if (claims === undefined) this.claims.set(partition, [claim]);
    else claims.push(claim);
  }

  closed(): void {}

  private flush(): void {
    for (const [partition, changes] of this.claims) {
      const { instance: listener, incarnation } = this.bus;
      const claim = control.PresenceBatch.encode({
        listener,
        incarnation,
        partition,
        reset: false,
        changes,
      });
      this.bus.publish(subjects.sessionTakeover(partition), claim.finish());
    }
    this.claims.clear();
  }

  private onClaims(data: Uint8Array): void {
    let batch: control.PresenceBatch;
    try {
      batch = control.PresenceBatch.decode(data);
    } catch (err) {
      this.log.warn({ err }, "a takeover claim cannot be read and is ignored");
      return;
    }
    if (batch.listener === this.bus.instance && batch.incarnation === this.bus.incarnation) return;
    const nowUs = this.clock.wallUs();
    for (const claim of batch.changes) {
      const session = this.directory.get(claim.tenant, claim.deviceId);
      if (session === undefined) continue;
      const older =
        nowUs - session.openedAtUs > SURELY_OLDER_US ||
        session.openedAtUs < claim.atUs ||
        (session.openedAtUs === claim.atUs && this.bus.instance < batch.listener);
      if (!older) continue;
      this.taken += 1;
      session.takenOver();
    }
  }
}
