/** Tells the owners of the partitions which devices are here: changes in batches, everything when asked. */
import type { Bus, Unsubscribe } from "@myelin/bus";
import { control, partitionOf, subjects } from "@myelin/contract";
import type { Clock, Component } from "@myelin/kernel";
import { Gathering } from "./gathering.js";
import type { Claimant, DeviceSession } from "./session.js";
import type { SessionDirectory, SessionListener } from "./session-directory.js";
import { toldWill, type WillKeeper, type WillOwner } from "./will-keeper.js";

/** About 100 bytes each: a batch stays far below what NATS takes. */
const CHANGES_PER_BATCH = 1000;
/** Of wills, which some of them carry beside. */
const WILL_BYTES_PER_BATCH = 256 * 1024;

/** Changes of one partition that are told together. */
class Pending {
  changes: control.PresenceChange[] = [];
  private willBytes = 0;

  /** True: it is full. */
  add(change: control.PresenceChange): boolean {
    this.changes.push(change);
    this.willBytes += change.will.length;
    return this.changes.length >= CHANGES_PER_BATCH || this.willBytes >= WILL_BYTES_PER_BATCH;
  }

  take(): control.PresenceChange[] {
    const { changes } = this;
    this.changes = [];
    this.willBytes = 0;
    return changes;
  }
}

export class Presence implements Component, SessionListener {
  readonly name = "presence";
  private readonly pending: Pending[];
  /** A device that connects and sends at once may be answered a few milliseconds later, and its owner must know by then where it is. */
  private readonly gathering: Gathering;
  private ends: Unsubscribe[] = [];

  constructor(
    private readonly bus: Bus,
    private readonly clock: Clock,
    private readonly directory: SessionDirectory,
    private readonly partitions: number,
    private readonly wills: WillKeeper,
  ) {
    this.gathering = new Gathering(clock, () => this.flush());
    this.pending = Array.from({ length: partitions }, () => new Pending());
    // Nobody else is to publish it any more.
    wills.whenPublished((owner) => this.away(owner));
  }

  async start(): Promise<void> {
    this.ends = [
      this.bus.subscribe(subjects.allPresenceSyncs(), (data, subject) => this.onSync(data, subject)),
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
    this.note(partition, this.online(session));
  }

  closed(session: DeviceSession, partition: number, reason: string): void {
    this.note(partition, {
      ...changeOf(session, false, this.clock.wallUs(), reason),
      will: this.waiting(session),
    });
  }

  /** What has become of the will of a client that is away. */
  away(owner: WillOwner): void {
    const { tenant, deviceId } = owner.identity;
    const partition = partitionOf(tenant, deviceId, this.partitions);
    this.note(partition, { ...changeOf(owner, false, this.clock.wallUs(), ""), will: this.waiting(owner) });
  }

  private online(session: DeviceSession): control.PresenceChange {
    const change = changeOf(session, true, session.openedAtUs, "");
    const will = session.keptWill?.();
    if (will !== undefined) change.will = toldWill(will);
    return change;
  }

  /** With the time that is left of its delay. */
  private waiting({ identity }: Pick<Claimant, "identity">): Buffer {
    const waiting = this.wills.of(identity);
    if (waiting === undefined) return toldWill(undefined);
    return toldWill({ ...waiting.will, delayMs: Math.ceil(Math.max(0, waiting.dueMs - this.clock.nowMs())) });
  }

  private note(partition: number, change: control.PresenceChange): void {
    if (this.pending[partition]!.add(change)) this.flushPartition(partition);
    else this.gathering.add();
  }

  private flush(): void {
    for (let p = 0; p < this.partitions; p++) this.flushPartition(p);
  }

  private flushPartition(partition: number): void {
    const changes = this.pending[partition]!.take();
    if (changes.length === 0) return;
    // False while NATS is away: the replay on its return says it all again.
    this.send(partition, false, changes);
  }

  /** @param data the name of the listener that is asked; empty: all are */
  private onSync(data: Uint8Array, subject: string): void {
    if (data.length > 0 && Buffer.from(data).toString("utf8") !== this.bus.instance) return;
    for (let p = 0; p < this.partitions; p++) {
      if (subjects.presenceSync(p) === subject) this.replay(p);
    }
  }

  private replay(partition: number): void {
    this.flushPartition(partition);
    let reset = true;
    const told = new Pending();
    const tell = (change: control.PresenceChange): void => {
      if (!told.add(change)) return;
      this.send(partition, reset, told.take());
      reset = false;
    };
    for (const session of this.directory.of(partition)) tell(this.online(session));
    for (const { owner } of this.wills.all()) {
      const { tenant, deviceId } = owner.identity;
      if (partitionOf(tenant, deviceId, this.partitions) !== partition) continue;
      tell({ ...changeOf(owner, false, this.clock.wallUs(), ""), will: this.waiting(owner) });
    }
    if (reset || told.changes.length > 0) this.send(partition, reset, told.take());
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
    will: toldWill(undefined),
  };
}
