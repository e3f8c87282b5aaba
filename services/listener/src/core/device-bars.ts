/** Which devices may not connect: disabled or deleted ones, as the owners of their partitions tell it. */
import type { Bus, Unsubscribe } from "@myelin/bus";
import { partitionOf, registry, subjects } from "@myelin/contract";
import { AppError, backoff, type Clock, type Component } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import type { Connection } from "./connection.js";
import type { ConnectionManager } from "./connection-manager.js";
import { deviceKey } from "./disconnect-log.js";
import { scanConnections } from "./operations-scan.js";
import type { DeviceSession } from "./session.js";
import type { SessionListener } from "./session-directory.js";

const ANSWER_WITHIN_MS = 5_000;
const KEYS_AT_ONCE = 1_000;

/** What is known of one partition. */
interface Known {
  keys: Set<string>;
  epoch: number;
  sequence: number;
  /** Changes that came while the list is read; undefined: it is not being read. */
  meanwhile: registry.BarChange[] | undefined;
}

export interface DeviceBarsOptions {
  readonly bus: Pick<Bus, "subscribe" | "request" | "onConnectionChange">;
  readonly clock: Clock;
  readonly log: Logger;
  readonly partitions: number;
  readonly connections: Pick<ConnectionManager, "connections">;
}

/**
 * Asked at every connect, from memory: about 100 bytes for each device that may not. The list is read when a listener starts and whenever
 * an owner is new or a change was missed, which is noticed within two seconds; until then what was known last holds.
 */
export class DeviceBars implements Component, SessionListener {
  readonly name = "device-bars";
  readonly #known: Known[];
  readonly #stopping = new AbortController();
  #ends: Unsubscribe[] = [];
  /** Devices whose connections are to be ended. */
  #due = new Set<string>();
  #isEnding = false;

  constructor(private readonly options: DeviceBarsOptions) {
    this.#known = Array.from({ length: options.partitions }, () => ({
      keys: new Set(),
      epoch: 0,
      sequence: 0,
      meanwhile: undefined,
    }));
  }

  async start(): Promise<void> {
    const { bus, partitions } = this.options;
    this.#ends = [
      bus.subscribe(subjects.allRegistryBars(), (data) => this.#onChange(data)),
      bus.onConnectionChange((connected) => {
        if (connected) for (let p = 0; p < partitions; p++) void this.#read(p);
      }),
    ];
    for (let p = 0; p < partitions; p++) void this.#read(p);
  }

  async stop(): Promise<void> {
    for (const end of this.#ends.splice(0)) end();
    this.#stopping.abort(new AppError("operation.aborted", "the listener stops"));
  }

  /** May the device not connect? Answers from memory. */
  has(tenant: string, deviceId: string): boolean {
    const { keys } = this.#known[partitionOf(tenant, deviceId, this.options.partitions)]!;
    return keys.size > 0 && keys.has(deviceKey(tenant, deviceId));
  }

  /** It was let in before the change came, and is found by a scan only now. */
  opened({ identity }: DeviceSession): void {
    if (this.has(identity.tenant, identity.deviceId))
      this.#end([deviceKey(identity.tenant, identity.deviceId)]);
  }

  closed(): void {}

  #onChange(data: Uint8Array): void {
    let change: registry.BarChange;
    try {
      change = registry.BarChange.decode(data);
    } catch (err) {
      this.options.log.warn({ err }, "a change of who may connect cannot be read and is ignored");
      return;
    }
    const known = this.#known[change.partition];
    if (known === undefined || (change.place?.epoch ?? 0) < known.epoch) return;
    if (known.meanwhile !== undefined) known.meanwhile.push(change);
    else if (!this.#apply(known, change)) void this.#read(change.partition);
  }

  /** False where something was missed. */
  #apply(known: Known, { place, barred, freed }: registry.BarChange): boolean {
    const { epoch = 0, sequence = 0 } = place ?? {};
    const changes = barred.length + freed.length > 0 ? 1 : 0;
    if (epoch !== known.epoch || sequence > known.sequence + changes) return false;
    // Told before the list was read, and in it.
    if (sequence < known.sequence + changes) return true;
    known.sequence = sequence;
    for (const { tenant, id } of freed) known.keys.delete(deviceKey(tenant, id));
    const keys = barred.map(({ tenant, id }) => deviceKey(tenant, id));
    for (const key of keys) known.keys.add(key);
    this.#end(keys);
    return true;
  }

  /** Reads the list whole, as often as it takes. */
  async #read(partition: number): Promise<void> {
    const { clock, log } = this.options;
    const known = this.#known[partition]!;
    if (known.meanwhile !== undefined) return;
    const waits = backoff({ initialMs: 200, maxMs: 5_000 });
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      known.meanwhile = [];
      try {
        const { keys, place } = await this.#list(partition, signal);
        const { meanwhile } = known;
        const fresh = [...keys].filter((key) => !known.keys.has(key));
        Object.assign(known, { keys, epoch: place.epoch, sequence: place.sequence, meanwhile: undefined });
        this.#end(fresh);
        if (meanwhile.every((change) => isOlder(change, place) || this.#apply(known, change))) return;
      } catch (err) {
        if (signal.aborted) return;
        // No owner yet, or NATS is away: both end, and what was known holds until then.
        log.debug({ err, partition }, "who may not connect cannot be asked yet");
      }
      await clock.sleep(waits.nextMs(), signal).catch(() => undefined);
    }
  }

  async #list(
    partition: number,
    signal: AbortSignal,
  ): Promise<{ readonly keys: Set<string>; readonly place: registry.BarPlace }> {
    const keys = new Set<string>();
    let place: registry.BarPlace | undefined;
    for (let after: registry.Key | undefined; ; ) {
      signal.throwIfAborted();
      const request = { $case: "bars", value: { after, limit: KEYS_AT_ONCE } } as const;
      const asked = registry.Request.encode({ partition, request }).finish();
      const subject = subjects.registryRequest(partition);
      const answer = registry.Bars.decode(await this.options.bus.request(subject, asked, ANSWER_WITHIN_MS));
      if (answer.place === undefined || (place !== undefined && place.epoch !== answer.place.epoch))
        throw new AppError("request.no_responder", `partition ${partition} has changed its owner`);
      // Of the first page: what is told after it comes again and changes nothing twice.
      place ??= answer.place;
      for (const { tenant, id } of answer.keys) keys.add(deviceKey(tenant, id));
      after = answer.keys.at(-1);
      if (!answer.more || after === undefined) return { keys, place };
    }
  }

  #end(keys: Iterable<string>): void {
    for (const key of keys) this.#due.add(key);
    if (this.#due.size > 0 && !this.#isEnding) void this.#endDue();
  }

  async #endDue(): Promise<void> {
    const { connections, clock } = this.options;
    this.#isEnding = true;
    try {
      while (this.#due.size > 0) {
        // A session that opens in this turn has its identity after it.
        await new Promise((resolve) => setImmediate(resolve));
        const due = this.#due;
        this.#due = new Set();
        const found: Connection[] = [];
        await scanConnections(connections.connections(), clock, (connection) => {
          const { tenant, deviceId } = connection.identity;
          if (due.has(deviceKey(tenant, deviceId))) found.push(connection);
        });
        for (const connection of found) this.#disconnect(connection);
      }
    } finally {
      this.#isEnding = false;
    }
  }

  #disconnect(connection: Connection): void {
    const { tenant, deviceId } = connection.identity;
    // Enabled again while the scan was under way.
    if (connection.isClosing || !this.has(tenant, deviceId)) return;
    connection.disconnect(
      "revoked",
      new AppError("auth.not_authorized", "the device may not connect any more"),
    );
  }
}

function isOlder({ place }: registry.BarChange, than: registry.BarPlace): boolean {
  return (place?.epoch ?? 0) < than.epoch;
}
