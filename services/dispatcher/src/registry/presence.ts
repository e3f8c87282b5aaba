/** Who of one partition's devices is connected: what flaps is smoothed, what has changed is told and written down. */
import type { control, registry } from "@myelin/contract";
import type { Clock, Timer } from "@myelin/kernel";
import type { CoreLog } from "../core/ports.js";
import type { DeviceTable } from "./table/device-table.js";

/** A device of the registry has come or gone. */
export interface PresenceEvent {
  readonly tenant: string;
  readonly device: string;
  readonly presence: registry.Presence;
}

export interface PresenceBookOptions {
  readonly table: DeviceTable;
  readonly clock: Clock;
  readonly log: CoreLog;
  /** A device that is back by then was not away. */
  readonly graceMs: number;
  /** Is it connected anywhere, as far as the listeners have told? */
  readonly isConnected: (key: string) => boolean;
  /** Something is to be written down. */
  readonly keep: (kept: registry.KeptPresence) => void;
  /** A device has come or gone for good. */
  readonly onEvent: (event: PresenceEvent) => void;
}

/** What was told last of a device, and is not in the table yet. */
type Told = Pick<control.PresenceChange, "protocol" | "address" | "atUs"> | { readonly goneAtMs: number };

/** What is to be put into the table, and whether it is told. */
interface Change {
  readonly key: string;
  readonly told: Told;
  readonly kept: registry.KeptPresence & { readonly presence: registry.Presence };
  readonly isEvent: boolean;
}

/** How long a change waits at most. */
const FLUSH_MS = 250;
/** Listeners tell who is there when a partition is taken, and are given this time to do it. */
const REPLAY_MS = 5_000;
/** Of work on the table before the event loop turns. */
const SLICE_MS = 5;
const PAGE = 500;

/** Changes come by the thousand when a listener goes: they are gathered, so each device costs one look at the table however often it flaps. */
export class PresenceBook {
  readonly #told = new Map<string, Told>();
  /** Devices that are connected nowhere, and since when, in the order of going. */
  readonly #away = new Map<string, number>();
  readonly #timers: Timer[] = [];
  #isFlushing = false;
  #isStopped = false;

  constructor(private readonly options: PresenceBookOptions) {}

  /** The table has what was written down. Who is not there when the listeners have told is gone. */
  start(): void {
    const { clock } = this.options;
    this.#timers.push(
      clock.setInterval(() => this.#tick(), FLUSH_MS).unref(),
      clock.setTimeout(() => void this.#findGone(), REPLAY_MS).unref(),
    );
  }

  stop(): void {
    this.#isStopped = true;
    for (const timer of this.#timers) this.options.clock.clear(timer);
  }

  /** What a listener has told; see `DeviceWatch`. Called before `start` too. */
  told(key: string, change: control.PresenceChange | undefined): void {
    if (change === undefined) {
      this.#away.delete(key);
      this.#away.set(key, this.options.clock.wallMs());
      return;
    }
    this.#away.delete(key);
    this.#told.set(key, change);
  }

  /** A device is new in the registry, and may be connected already. */
  registered(tenant: string, id: string): void {
    const key = `${tenant}\0${id}`;
    const { table, clock, isConnected } = this.options;
    if (!isConnected(key) || table.presence(tenant, id) !== undefined) return;
    // Over which protocol is told when it comes the next time.
    if (!this.#told.has(key)) this.#told.set(key, { protocol: 0, address: "", atUs: clock.wallMs() * 1_000 });
  }

  #tick(): void {
    const { clock, graceMs } = this.options;
    const dueMs = clock.wallMs() - graceMs;
    for (const [key, goneAtMs] of this.#away) {
      if (goneAtMs > dueMs) break;
      this.#away.delete(key);
      this.#told.set(key, { goneAtMs });
    }
    if (this.#told.size > 0 && !this.#isFlushing) void this.#flush();
  }

  async #flush(): Promise<void> {
    const { log, keep, onEvent } = this.options;
    this.#isFlushing = true;
    try {
      while (this.#told.size > 0 && !this.#isStopped) {
        const changes = this.#slice();
        if (changes.length > 0) await this.#put(changes);
        for (const { kept, isEvent } of changes) {
          keep(kept);
          if (isEvent) onEvent({ tenant: kept.tenant, device: kept.id, presence: kept.presence });
        }
        await new Promise(setImmediate);
      }
    } catch (err) {
      log.error({ err }, "the presence of devices cannot be brought up to date");
    } finally {
      this.#isFlushing = false;
    }
  }

  async #put(changes: readonly Change[]): Promise<void> {
    try {
      await this.options.table.putPresence(changes.map(({ kept }) => kept));
    } catch (thrown) {
      for (const { key, told } of changes) if (!this.#told.has(key)) this.#told.set(key, told);
      throw thrown;
    }
  }

  #slice(): Change[] {
    const { clock } = this.options;
    const untilMs = clock.nowMs() + SLICE_MS;
    const changes: Change[] = [];
    for (const [key, told] of this.#told) {
      this.#told.delete(key);
      const change = this.#changeOf(key, told);
      if (change !== undefined) changes.push(change);
      if (changes.length === PAGE || clock.nowMs() >= untilMs) break;
    }
    return changes;
  }

  #changeOf(key: string, told: Told): Change | undefined {
    const { table } = this.options;
    const [tenant, id] = split(key);
    if (!table.has(tenant, id)) return undefined;
    const known = table.presence(tenant, id);
    if ("goneAtMs" in told) {
      if (known?.online !== true) return undefined;
      const { goneAtMs } = told;
      const presence = { ...known, online: false, sinceMs: goneAtMs, seenMs: goneAtMs };
      return { key, told, kept: { tenant, id, presence }, isEvent: true };
    }
    const { protocol, address, atUs } = told;
    const isNew = known?.online !== true;
    if (!isNew && known.protocol === protocol && known.address === address) return undefined;
    const sinceMs = isNew ? Math.floor(atUs / 1_000) : known.sinceMs;
    return {
      key,
      told,
      kept: { tenant, id, presence: { online: true, sinceMs, seenMs: 0, protocol, address } },
      isEvent: isNew,
    };
  }

  /** Devices that went while nobody owned the partition. */
  async #findGone(): Promise<void> {
    const { table, clock, isConnected } = this.options;
    for (let after: registry.Key | undefined = { tenant: "", id: "" }; after !== undefined; ) {
      if (this.#isStopped) return;
      const page = table.presences(after, PAGE);
      for (const { tenant, id, presence } of page) {
        const key = `${tenant}\0${id}`;
        if (presence?.online === true && !isConnected(key) && !this.#away.has(key) && !this.#told.has(key))
          this.#away.set(key, clock.wallMs());
      }
      after = page.length < PAGE ? undefined : page.at(-1);
      await new Promise(setImmediate);
    }
  }
}

function split(key: string): [tenant: string, id: string] {
  const at = key.indexOf("\0");
  return [key.slice(0, at), key.slice(at + 1)];
}
