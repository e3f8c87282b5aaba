/** The topic filters that the connections of each listener hold, as the listener tells them. */
import { MAX_LISTENER_FILTERS, splitFilterKey } from "@myelin/contract";
import type { SubscriberIndex } from "./matcher/subscriber-index.js";
import type { Subscriber } from "./plan.js";

/** Told by `ListenerDirectory`. Filters are keys, see `splitFilterKey`. */
export interface FilterKeeper {
  add(listener: string, key: string): void;
  remove(listener: string, key: string): void;
  /** The listener tells all of its filters again, from the beginning. */
  retell(listener: string): void;
  /** It has told all of them: what was not told again is no more. */
  told(listener: string): void;
  /** The listener is gone. */
  drop(listener: string): void;
}

interface Holder {
  readonly subscriber: Subscriber;
  /** Which telling of its filters is the last; the tag of a filter says in which it was told. */
  telling: number;
}

/** A filter that cannot be taken is left out: its listener has refused what is beyond the bound. */
export class ListenerFilters implements FilterKeeper {
  private readonly holders = new Map<string, Holder>();

  constructor(
    private readonly index: SubscriberIndex<Subscriber>,
    private readonly subscriberOf: (listener: string) => Subscriber,
  ) {}

  add(listener: string, key: string): void {
    let holder = this.holders.get(listener);
    if (holder === undefined) {
      holder = { subscriber: this.subscriberOf(listener), telling: 0 };
      this.holders.set(listener, holder);
    }
    const { subscriber, telling } = holder;
    const { tenant, filter } = splitFilterKey(key);
    const isFull = this.index.countOf(subscriber) >= MAX_LISTENER_FILTERS;
    if (isFull && !this.index.holds(tenant, filter, subscriber)) return;
    this.index.add(tenant, filter, subscriber, telling);
  }

  remove(listener: string, key: string): void {
    const holder = this.holders.get(listener);
    if (holder === undefined) return;
    const { tenant, filter } = splitFilterKey(key);
    this.index.remove(tenant, filter, holder.subscriber);
  }

  retell(listener: string): void {
    const holder = this.holders.get(listener);
    if (holder !== undefined) holder.telling = (holder.telling + 1) >>> 0;
  }

  told(listener: string): void {
    const holder = this.holders.get(listener);
    if (holder !== undefined) this.index.removeAll(holder.subscriber, (tag) => tag !== holder.telling);
  }

  drop(listener: string): void {
    const holder = this.holders.get(listener);
    if (holder !== undefined) this.index.removeAll(holder.subscriber);
    this.holders.delete(listener);
  }
}
