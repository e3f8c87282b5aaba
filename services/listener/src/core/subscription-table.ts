/** The subscriptions of this listener: who wants a message, merged per subscriber; and the groups whose members take turns. */
import { randomInt } from "node:crypto";
import { FilterIndex, filterKey, MAX_LISTENER_FILTERS, splitFilterKey, topicMatches } from "@myelin/contract";
import type { Identity } from "./admission.js";
import { MatchCache } from "./match-cache.js";
import { Pressure } from "./pressure.js";
import { plainFilter, type SharedGroup, SharedGroups } from "./shared-groups.js";
import type {
  SubscribeOutcome,
  Subscriber,
  SubscriberMessage,
  Subscriptions,
  Target,
} from "./subscriptions.js";

/** Pairs of subscriber and filter. */
const MAX_PAIRS = 4_000_000;

/** What a path leads to within a tenant, shared subscriptions apart. */
export interface Match {
  readonly targets: readonly Target[];
  /** A subscription has changed it: it must be asked for again. */
  readonly isStale: boolean;
}

/** Told when the first subscriber wants a filter and when the last one has gone. Filters are keys, see `splitFilterKey`. */
export interface InterestListener {
  wanted(key: string): void;
  unwanted(key: string): void;
  /** So many members has a group of a shared subscription now. */
  shared(key: string, members: number): void;
  /** See `Subscriptions.settled`. Absent: nobody else must know. */
  settled?(): Promise<void> | undefined;
  /** The last member of a group here has left a message; false: nobody takes it. Absent: nobody ever does. */
  handBack?(key: string, message: SubscriberMessage): boolean;
}

export interface SubscriptionTableOptions {
  /** Filters that are held; a subscription to another one is refused. */
  readonly maxFilters?: number;
}

/** Filters lie in the compact index; a subscriber costs a number, and nothing per filter beyond that. */
export class SubscriptionTable implements Subscriptions {
  readonly pressure = new Pressure();
  private onGroupLeft: (group: SharedGroup) => void = () => undefined;
  private readonly index: FilterIndex;
  private readonly matches: MatchCache;
  private readonly numbers = new Map<Subscriber, number>();
  private readonly byNumber: (Subscriber | undefined)[] = [];
  private readonly freeNumbers: number[] = [];
  private readonly shared: SharedGroups;

  constructor(
    private readonly interest: InterestListener,
    { maxFilters = MAX_LISTENER_FILTERS }: SubscriptionTableOptions = {},
  ) {
    this.index = new FilterIndex({ seed: randomInt(2 ** 32), maxFilters, maxPairs: MAX_PAIRS });
    this.matches = new MatchCache(this.index);
    this.shared = new SharedGroups((key, message) => interest.handBack?.(key, message) ?? false);
  }

  /** Filters held, each counted once per subscriber. */
  get size(): number {
    return this.index.size + this.shared.members;
  }

  /** The keys of all filters that somebody wants, without those of groups; those that come and go meanwhile may be among them or not. */
  filters(): Iterable<string> {
    return this.index.keys();
  }

  groups(): Iterable<SharedGroup> {
    return this.shared.groups();
  }

  /** The group of a shared subscription; undefined when it has no member here. */
  group(key: string): SharedGroup | undefined {
    return this.shared.find(key);
  }

  /** `onLeft` is called when the last member of a group has left, before others hear of it. */
  watchGroups(onLeft: (group: SharedGroup) => void): void {
    this.onGroupLeft = onLeft;
  }

  add(subscriber: Subscriber, filter: string, tag: number): SubscribeOutcome {
    const plain = plainFilter(filter);
    if (plain !== filter) return this.share(subscriber, filter, plain, tag);
    const { tenant } = subscriber.identity;
    const known = this.numbers.get(subscriber);
    const number = known ?? this.nextNumber;
    const outcome = this.index.add(tenant, filter, number, tag);
    if (outcome === "full" || outcome === "malformed") return "full";
    if (known === undefined) {
      this.takeNumber(subscriber);
      this.numbers.set(subscriber, number);
    }
    if (outcome === "first") this.interest.wanted(filterKey(tenant, filter));
    return outcome === "known" ? "replaced" : "added";
  }

  remove(subscriber: Subscriber, filter: string): boolean {
    const group = this.shared.leave(subscriber, filter);
    if (group !== undefined) {
      this.groupLeft(group);
      return true;
    }
    const number = this.numbers.get(subscriber);
    if (number === undefined) return false;
    const { tenant } = subscriber.identity;
    const outcome = this.index.remove(tenant, filter, number);
    if (outcome === "last") this.interest.unwanted(filterKey(tenant, filter));
    if (this.index.countOf(number) === 0) this.forget(subscriber, number);
    return outcome !== "absent";
  }

  removeAll(subscriber: Subscriber): void {
    for (const group of this.shared.leaveAll(subscriber)) this.groupLeft(group);
    const number = this.numbers.get(subscriber);
    if (number === undefined) return;
    this.index.removeOwner(number, (key) => this.interest.unwanted(key));
    this.forget(subscriber, number);
  }

  countOf(subscriber: Subscriber): number {
    const number = this.numbers.get(subscriber);
    return (number === undefined ? 0 : this.index.countOf(number)) + this.shared.countOf(subscriber);
  }

  /** Calls `visit` for each filter of the subscriber as it was subscribed; the table must not be changed meanwhile. */
  forEachOf(subscriber: Subscriber, visit: (filter: string, tag: number) => void): void {
    const number = this.numbers.get(subscriber);
    if (number !== undefined) {
      this.index.forEachOf(number, (key, tag) => visit(splitFilterKey(key).filter, tag));
    }
    for (const { group, tag } of this.shared.of(subscriber)) visit(splitFilterKey(group.key).filter, tag);
  }

  holds(subscriber: Subscriber, filter: string): boolean {
    if (this.shared.holds(subscriber, filter)) return true;
    const number = this.numbers.get(subscriber);
    return number !== undefined && this.index.tagOf(subscriber.identity.tenant, filter, number) !== undefined;
  }

  /** Removes what `isAllowed` denies, given the filter without its group, and tells the subscribers. Slow: for changes of the rules. */
  recheck(isAllowed: (identity: Identity, filter: string) => boolean): void {
    const denied: { readonly subscriber: Subscriber; readonly filter: string }[] = [];
    for (const [subscriber, number] of this.numbers) {
      this.index.forEachOf(number, (key) => {
        const { filter } = splitFilterKey(key);
        if (!isAllowed(subscriber.identity, filter)) denied.push({ subscriber, filter });
      });
    }
    for (const { subscriber, filter, group } of this.shared.all()) {
      if (!isAllowed(subscriber.identity, group.filter)) denied.push({ subscriber, filter });
    }
    for (const { subscriber, filter } of denied) {
      if (this.remove(subscriber, filter)) subscriber.revoked(filter);
    }
  }

  settled(): Promise<void> | undefined {
    return this.interest.settled?.();
  }

  tagsOf(subscriber: Subscriber, path: string): readonly number[] {
    const tags: number[] = [];
    const number = this.numbers.get(subscriber);
    if (number !== undefined) {
      this.index.match(subscriber.identity.tenant, path, (owner, tag) => {
        if (owner === number) tags.push(tag);
      });
    }
    for (const { group, tag } of this.shared.of(subscriber)) {
      if (topicMatches(group.filter, path)) tags.push(tag);
    }
    return tags;
  }

  /** Slow; callers keep the result until it is stale. */
  match(tenant: string, path: string): Match {
    const plain = new Map<Subscriber, number[]>();
    this.index.match(tenant, path, (number, tag) => {
      const owner = this.byNumber[number]!;
      const tags = plain.get(owner);
      if (tags === undefined) plain.set(owner, [tag]);
      else tags.push(tag);
    });
    const match = {
      targets: [...plain].map(([subscriber, tags]) => ({ subscriber, tags })),
      isStale: false,
    };
    this.matches.keep(match, tenant, path);
    return match;
  }

  private share(subscriber: Subscriber, filter: string, plain: string, tag: number): SubscribeOutcome {
    const group = this.shared.findOrCreate(subscriber.identity.tenant, filter, plain);
    if (group === undefined) return "full";
    if (!this.shared.join(group, subscriber, filter, tag)) return "replaced";
    this.interest.shared(group.key, group.size);
    return "added";
  }

  private groupLeft(group: SharedGroup): void {
    if (group.size === 0) this.onGroupLeft(group);
    this.interest.shared(group.key, group.size);
  }

  private get nextNumber(): number {
    return this.freeNumbers.at(-1) ?? this.byNumber.length;
  }

  private takeNumber(owner: Subscriber): void {
    this.byNumber[this.freeNumbers.pop() ?? this.byNumber.length] = owner;
  }

  private forget(subscriber: Subscriber, number: number): void {
    this.numbers.delete(subscriber);
    this.giveNumberBack(number);
  }

  private giveNumberBack(number: number): void {
    this.byNumber[number] = undefined;
    this.freeNumbers.push(number);
  }
}
