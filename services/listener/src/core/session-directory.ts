/** The devices of this process, by partition: one session each, reported to presence, reachable for downlink. */
import { partitionOf } from "@myelin/contract";
import type { Clock } from "@myelin/kernel";
import { deviceKey } from "./disconnect-log.js";
import type { Claimant, DeviceSession, Sessions } from "./session.js";

/** Told of every beginning and end; presence and takeover are ones. */
export interface SessionListener {
  opened(session: DeviceSession, partition: number): void;
  closed(session: DeviceSession, partition: number, reason: string): void;
  /** Whoever speaks with the other listeners answers `Sessions.isHeldElsewhere`. */
  ask?(claimant: Claimant, partition: number): Promise<boolean>;
}

export class SessionDirectory implements Sessions {
  private readonly byPartition: Map<string, DeviceSession>[];
  private readonly listeners: SessionListener[] = [];

  constructor(
    private readonly partitions: number,
    private readonly clock: Clock,
  ) {
    this.byPartition = Array.from({ length: partitions }, () => new Map());
  }

  /** Before the first session; presence before takeover, so that the owner hears of a device first. */
  addListener(listener: SessionListener): void {
    this.listeners.push(listener);
  }

  open(session: DeviceSession): void {
    const { tenant, deviceId } = session.identity;
    const partition = partitionOf(tenant, deviceId, this.partitions);
    const sessions = this.byPartition[partition]!;
    const key = deviceKey(tenant, deviceId);
    const older = sessions.get(key);
    session.openedAtUs = this.clock.wallUs();
    sessions.set(key, session);
    for (const listener of this.listeners) listener.opened(session, partition);
    if (older !== undefined && older !== session) older.takenOver(session.beginsAnew ?? false);
  }

  close(session: DeviceSession, reason: string): void {
    const { tenant, deviceId } = session.identity;
    const partition = partitionOf(tenant, deviceId, this.partitions);
    const sessions = this.byPartition[partition]!;
    const key = deviceKey(tenant, deviceId);
    if (sessions.get(key) !== session) return;
    sessions.delete(key);
    for (const listener of this.listeners) listener.closed(session, partition, reason);
  }

  get(tenant: string, deviceId: string): DeviceSession | undefined {
    const partition = partitionOf(tenant, deviceId, this.partitions);
    return this.byPartition[partition]!.get(deviceKey(tenant, deviceId));
  }

  async isHeldElsewhere(claimant: Claimant): Promise<boolean> {
    const { tenant, deviceId } = claimant.identity;
    const partition = partitionOf(tenant, deviceId, this.partitions);
    const answers = await Promise.all(this.listeners.map((listener) => listener.ask?.(claimant, partition)));
    return answers.includes(true);
  }

  /** All sessions of a partition. */
  of(partition: number): Iterable<DeviceSession> {
    return this.byPartition[partition]?.values() ?? [];
  }

  get size(): number {
    return this.byPartition.reduce((sum, sessions) => sum + sessions.size, 0);
  }
}
