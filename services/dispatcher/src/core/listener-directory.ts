/** Knows which listeners run and which topic filters their MQTT connections hold. */
import { type control, isTopicFilter } from "@myelin/contract";
import type { Clock } from "@myelin/kernel";

export interface ListenerDirectoryEvents {
  filterAdded(listener: string, filter: string): void;
  filterRemoved(listener: string, filter: string): void;
  /** It appeared, or was replaced by a new incarnation of itself. */
  listenerUp(listener: string): void;
  listenerGone(listener: string): void;
  /** Something of its interest was missed: it must be asked for all of it. */
  replayNeeded(listener: string): void;
}

export interface ListenerDirectoryOptions {
  readonly clock: Clock;
  readonly events: ListenerDirectoryEvents;
  /** Silence after which a listener counts as gone. */
  readonly timeoutMs?: number;
}

interface Listener {
  incarnation: number;
  heardAtMs: number;
  /** Of the last interest batch; -1: none yet. */
  sequence: number;
  readonly filters: Set<string>;
}

const MAX_FILTERS_PER_LISTENER = 1_000_000;

/** Fed by heartbeats and interest batches; one per process. */
export class ListenerDirectory {
  private readonly listeners = new Map<string, Listener>();
  private readonly timeoutMs: number;

  constructor(private readonly options: ListenerDirectoryOptions) {
    this.timeoutMs = options.timeoutMs ?? 3_000;
  }

  /** The incarnation of a running listener; undefined when it does not run. */
  incarnationOf(listener: string): number | undefined {
    return this.listeners.get(listener)?.incarnation;
  }

  heartbeat(beat: control.Heartbeat): void {
    this.hear(beat.instance, beat.incarnation);
  }

  /** Takes a change of interest. A missed one is noticed by its number, and a replay is asked for. */
  interest(batch: control.InterestBatch): void {
    const listener = this.hear(batch.listener, batch.incarnation);
    if (listener === undefined) return;
    const { events } = this.options;
    if (batch.reset) this.clear(batch.listener, listener, new Set(batch.added));
    else if (batch.sequence <= listener.sequence) return;
    else if (batch.sequence !== listener.sequence + 1) {
      events.replayNeeded(batch.listener);
      return;
    }
    listener.sequence = batch.sequence;
    for (const filter of batch.removed) {
      if (listener.filters.delete(filter)) events.filterRemoved(batch.listener, filter);
    }
    for (const filter of batch.added) {
      if (listener.filters.has(filter) || listener.filters.size >= MAX_FILTERS_PER_LISTENER) continue;
      if (!isTopicFilter(filter)) continue;
      listener.filters.add(filter);
      events.filterAdded(batch.listener, filter);
    }
  }

  /** Takes listeners out that have been silent for too long; called about twice a second. */
  sweep(): void {
    const now = this.options.clock.nowMs();
    for (const [name, listener] of this.listeners) {
      if (now - listener.heardAtMs < this.timeoutMs) continue;
      this.listeners.delete(name);
      this.clear(name, listener, new Set());
      this.options.events.listenerGone(name);
    }
  }

  private hear(name: string, incarnation: number): Listener | undefined {
    const heardAtMs = this.options.clock.nowMs();
    let listener = this.listeners.get(name);
    if (listener !== undefined && listener.incarnation === incarnation) {
      listener.heardAtMs = heardAtMs;
      return listener;
    }
    if (listener !== undefined) {
      this.clear(name, listener, new Set());
      this.options.events.listenerGone(name);
    }
    listener = { incarnation, heardAtMs, sequence: -1, filters: new Set() };
    this.listeners.set(name, listener);
    this.options.events.listenerUp(name);
    return listener;
  }

  private clear(name: string, listener: Listener, keep: ReadonlySet<string>): void {
    for (const filter of listener.filters) {
      if (keep.has(filter)) continue;
      listener.filters.delete(filter);
      this.options.events.filterRemoved(name, filter);
    }
  }
}
