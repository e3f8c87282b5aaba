/** Tells the owners of the partitions which devices of this agent can be reached, as listeners tell of theirs. */
import type { Bus, Unsubscribe } from "@myelin/bus";
import { control, Protocol, partitionOf, subjects } from "@myelin/contract";
import type { Clock, Component, Timer } from "@myelin/kernel";

const LOOK_EVERY_MS = 500;

interface Options {
  readonly bus: Bus;
  readonly partitions: number;
  readonly clock: Clock;
  /** Ids of the devices that answer at the moment. */
  readonly reachable: () => ReadonlySet<string>;
}

/** What it says of a device is at most half a second old. */
export class HardwarePresence implements Component {
  readonly name = "presence";
  readonly #options: Options;
  readonly #online = new Map<string, control.PresenceChange>();
  #epoch = 0;
  #timer: Timer | undefined;
  #ends: Unsubscribe[] = [];

  constructor(options: Options) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { bus, clock, partitions } = this.#options;
    this.#ends = [
      bus.subscribe(subjects.allPresenceSyncs(), (data, subject) => {
        if (data.length > 0 && Buffer.from(data).toString("utf8") !== bus.instance) return;
        for (let p = 0; p < partitions; p++) if (subjects.presenceSync(p) === subject) this.#replay(p);
      }),
      bus.onConnectionChange((connected) => {
        if (connected) for (let p = 0; p < partitions; p++) this.#replay(p);
      }),
    ];
    this.#timer = clock.setInterval(() => this.#look(this.#options.reachable()), LOOK_EVERY_MS);
  }

  async stop(): Promise<void> {
    for (const end of this.#ends.splice(0)) end();
    this.#options.clock.clear(this.#timer);
    this.#look(new Set());
  }

  #look(reachable: ReadonlySet<string>): void {
    const changes = new Map<number, control.PresenceChange[]>();
    const note = (change: control.PresenceChange): void => {
      const partition = partitionOf("", change.deviceId, this.#options.partitions);
      const list = changes.get(partition);
      if (list === undefined) changes.set(partition, [change]);
      else list.push(change);
    };
    const atUs = this.#options.clock.wallUs();
    for (const [id, change] of this.#online) {
      if (reachable.has(id)) continue;
      this.#online.delete(id);
      note({ ...change, online: false, atUs });
    }
    for (const deviceId of reachable) {
      if (this.#online.has(deviceId)) continue;
      const connectionEpoch = ++this.#epoch;
      const change = { deviceId, online: true, connectionEpoch, protocol: Protocol.HARDWARE, atUs };
      this.#online.set(deviceId, control.PresenceChange.fromPartial(change));
      note(this.#online.get(deviceId) as control.PresenceChange);
    }
    for (const [partition, list] of changes) this.#send(partition, false, list);
  }

  #replay(partition: number): void {
    const { partitions } = this.#options;
    const own = [...this.#online.values()].filter(
      ({ deviceId }) => partitionOf("", deviceId, partitions) === partition,
    );
    this.#send(partition, true, own);
  }

  #send(partition: number, reset: boolean, changes: control.PresenceChange[]): void {
    const { bus } = this.#options;
    const { instance: listener, incarnation } = bus;
    const batch = control.PresenceBatch.encode({ listener, incarnation, partition, reset, changes }).finish();
    bus.publish(subjects.presence(partition), batch);
  }
}
