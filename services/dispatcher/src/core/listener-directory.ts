/** Knows which listeners run, and follows what they say about the topic filters of their connections. */
import type { control } from "@myelin/contract";
import type { Clock } from "@myelin/kernel";
import { CreditWindow } from "./credit-window.js";
import type { GroupDirectory } from "./group-directory.js";
import type { FilterKeeper } from "./listener-filters.js";

/** What events may be on the way to one listener from this process: it holds them while one of its subscribers does not keep up. */
const EVENT_WINDOW_ENVELOPES = 32_768;
const EVENT_WINDOW_BYTES = 2 * 1024 * 1024;

export interface ListenerDirectoryEvents {
  /** It appeared, or was replaced by a new incarnation of itself. */
  listenerUp(listener: string): void;
  listenerGone(listener: string): void;
  /** Something of its interest was missed: it must be asked for all of it. */
  replayNeeded(listener: string): void;
  /** All that this incarnation of it has told up to this batch is in force; once for the batches of a turn. */
  applied(listener: string, incarnation: number, sequence: number): void;
}

export interface ListenerDirectoryOptions {
  readonly clock: Clock;
  readonly events: ListenerDirectoryEvents;
  readonly filters: FilterKeeper;
  readonly groups: GroupDirectory;
  /** Silence after which a listener counts as gone. */
  readonly timeoutMs?: number;
}

interface Listener {
  incarnation: number;
  heardAtMs: number;
  /** Of the last interest batch; -1: none yet. */
  sequence: number;
  /** Nothing was missed; false while what was missed is told again. */
  isComplete: boolean;
  readonly eventWindow: CreditWindow;
}

/** Fed by heartbeats and interest batches; one per process. */
export class ListenerDirectory {
  private readonly listeners = new Map<string, Listener>();
  /** Who has members of which shared subscription. */
  readonly groups: GroupDirectory;
  private readonly timeoutMs: number;
  /** Listeners whose batches were applied in this turn. */
  private readonly unconfirmed = new Set<string>();
  private readonly sinceMs: number;

  constructor(private readonly options: ListenerDirectoryOptions) {
    this.sinceMs = options.clock.nowMs();
    this.groups = options.groups;
    this.timeoutMs = options.timeoutMs ?? 3_000;
  }

  /** The incarnation of a running listener; undefined when it does not run. */
  incarnationOf(listener: string): number | undefined {
    return this.listeners.get(listener)?.incarnation;
  }

  /** Whoever has not been heard yet does not run: this process has listened for long enough to say so. */
  get knowsAll(): boolean {
    return this.options.clock.nowMs() - this.sinceMs >= this.timeoutMs;
  }

  /** For events to a running listener, but those of its groups; another incarnation has another one. */
  eventWindowOf(listener: string): CreditWindow | undefined {
    return this.listeners.get(listener)?.eventWindow;
  }

  heartbeat(beat: control.Heartbeat): void {
    this.hear(beat.instance, beat.incarnation);
  }

  /** Takes a change of interest. A missed one is noticed by its number, and a replay is asked for. */
  interest(batch: control.InterestBatch): void {
    const listener = this.hear(batch.listener, batch.incarnation);
    if (listener === undefined) return;
    const { events, filters, groups } = this.options;
    const { listener: name, reset, added, removed } = batch;
    if (reset) {
      listener.isComplete &&= batch.sequence === listener.sequence + 1;
      filters.retell(name);
      groups.retell(name);
    } else if (batch.sequence <= listener.sequence) return;
    else if (batch.sequence !== listener.sequence + 1) {
      events.replayNeeded(name);
      return;
    }
    listener.sequence = batch.sequence;
    for (const filter of removed) filters.remove(name, filter);
    for (const filter of added) filters.add(name, filter);
    for (const { key, members } of batch.groups) groups.set(name, key, members);
    if (!reset && added.length + removed.length + batch.groups.length === 0) {
      filters.told(name);
      groups.told(name);
      listener.isComplete = true;
    }
    if (listener.isComplete) this.confirmSoon(name);
  }

  /** Takes listeners out that have been silent for too long; called about twice a second. */
  sweep(): void {
    const now = this.options.clock.nowMs();
    for (const [name, listener] of this.listeners) {
      if (now - listener.heardAtMs < this.timeoutMs) continue;
      this.listeners.delete(name);
      this.gone(name);
    }
  }

  private confirmSoon(name: string): void {
    if (this.unconfirmed.size === 0) queueMicrotask(() => this.confirm());
    this.unconfirmed.add(name);
  }

  private confirm(): void {
    for (const name of this.unconfirmed) {
      const listener = this.listeners.get(name);
      if (listener?.isComplete) this.options.events.applied(name, listener.incarnation, listener.sequence);
    }
    this.unconfirmed.clear();
  }

  private gone(name: string): void {
    this.options.filters.drop(name);
    this.groups.drop(name);
    this.options.events.listenerGone(name);
  }

  private hear(name: string, incarnation: number): Listener | undefined {
    const heardAtMs = this.options.clock.nowMs();
    let listener = this.listeners.get(name);
    if (listener !== undefined && listener.incarnation === incarnation) {
      listener.heardAtMs = heardAtMs;
      return listener;
    }
    if (listener !== undefined) this.gone(name);
    const eventWindow = new CreditWindow(EVENT_WINDOW_ENVELOPES, EVENT_WINDOW_BYTES);
    listener = { incarnation, heardAtMs, sequence: -1, isComplete: false, eventWindow };
    this.listeners.set(name, listener);
    this.options.events.listenerUp(name);
    return listener;
  }
}
