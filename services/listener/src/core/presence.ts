/** Tells the owners of the partitions which devices are here: changes in batches, everything when asked. */
import type { Bus, Unsubscribe } from "@myelin/bus";
import { control, subjects } from "@myelin/contract";
import type { Clock, Component } from "@myelin/kernel";
import { Gathering } from "./gathering.js";
import type { Claimant, DeviceSession } from "./session.js";
import type { SessionDirectory, SessionListener } from "./session-directory.js";

/** About 100 bytes each: a batch stays far below what NATS takes. */
const CHANGES_PER_BATCH = 1000;

export class Presence implements Component, SessionListener {
  readonly name = "presence";
  private readonly pending: control.PresenceChange[][];
  /** A device that connects and sends at once may be answered a few milliseconds later, and its owner must know by then where it is. */
  private readonly gathering: Gathering;
  private ends: Unsubscribe[] = [];

  constructor(
    private readonly bus: Bus,
    private readonly clock: Clock,
    private readonly directory: SessionDirectory,
    private readonly partitions: number,
  ) {
    this.gathering = new Gathering(clock, () => this.flush());
    this.pending = Array.from({ length: partitions }, () => []);
  }

  async start(): Promise<void> {
    this.ends = [
      this.bus.subscribe(subjects.allPresenceSyncs(), (_data, subject) => this.onSync(subject)),
      // Owners may have missed changes while NATS was away.
      this.bus.onConnectionChange((connected) => {
        if (connected) for (let p = 0; p < this.partitions; p++) this.replay(p);
      }),
    ];
  }

  async stop(): Promise<void> {
    for (const end of this.ends.splice(0)) end();
    this.gathering.clear();
    this.flush();
  }

  opened(session: DeviceSession, partition: number): void {
    this.note(partition, changeOf(session, true, session.openedAtUs, ""));
  }

  closed(session: DeviceSession, partition: number, reason: string): void {
    this.note(partition, changeOf(session, false, this.clock.wallUs(), reason));
  }

  private note(partition: number, change: control.PresenceChange): void {
    const changes = this.pending[partition]!;
    changes.push(change);
    if (changes.length >= CHANGES_PER_BATCH) this.flushPartition(partition);
    else this.gathering.add();
  }

  private flush(): void {
    for (let p = 0; p < this.partitions; p++) this.flushPartition(p);
  }

  private flushPartition(partition: number): void {
    const changes = this.pending[partition]!;
    if (changes.length === 0) return;
    this.pending[partition] = [];
    // False while NATS is away: the replay on its return says it all again.
    this.send(partition, false, changes);
  }

  private onSync(subject: string): void {
    for (let p = 0; p < this.partitions; p++) {
      if (subjects.presenceSync(p) === subject) this.replay(p);
    }
  }

  private replay(partition: number): void {
    this.flushPartition(partition);
    let reset = true;
    let changes: control.PresenceChange[] = [];
    for (const session of this.directory.of(partition)) {
      changes.push(changeOf(session, true, session.openedAtUs, ""));
      if (changes.length < CHANGES_PER_BATCH) continue;
      this.send(partition, reset, changes);
      reset = false;
      changes = [];
    }
    if (reset || changes.length > 0) this.send(partition, reset, changes);
  }

  private send(partition: number, reset: boolean, changes: control.PresenceChange[]): void {
    const batch = control.PresenceBatch.encode({
      listener: this.bus.instance,
      incarnation: this.bus.incarnation,
      partition,
      reset,
      changes,
    }).finish();
    this.bus.publish(subjects.presence(partition), batch);
  }
}

/** One device's line in a PresenceBatch. */
export function changeOf(
  session: Claimant,
  online: boolean,
  atUs: number,
  reason: string,
): control.PresenceChange {
  return {
    tenant: session.identity.tenant,
    deviceId: session.identity.deviceId,
    online,
    connectionEpoch: session.number,
    protocol: session.protocol,
    atUs,
    address: session.address,
    reason,
    beginsAnew: session.beginsAnew ?? false,
  };
}
