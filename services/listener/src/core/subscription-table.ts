/** The subscriptions of this listener: who wants a message, merged per subscriber, with shared groups taking turns. */
import type { Identity } from "./admission.js";
import { FilterTree } from "./filter-tree.js";
import type { Subscriber, Subscriptions } from "./subscriptions.js";

const SHARE = "$share/";

interface Entry {
  readonly subscriber: Subscriber;
  readonly filter: string;
  tag: number;
  /** Set for members of a shared group. */
  readonly group: Group | undefined;
}

interface Group {
  readonly key: string;
  readonly filter: string;
  readonly members: Entry[];
  next: number;
}

/** One subscriber with the tags of its filters that matched. */
export interface Target {
  readonly subscriber: Subscriber;
  readonly tags: readonly number[];
}

/** What a path leads to within a tenant; valid until the table's generation changes. */
export interface Match {
  readonly targets: readonly Target[];
  /** Of each group one member is served. */
  readonly groups: readonly { next(): Target }[];
}

const NO_MATCH: Match = { targets: [], groups: [] };

/** Told when the first subscriber wants a filter and when the last one has gone; shared filters without their group. */
export interface InterestListener {
  wanted(filter: string): void;
  unwanted(filter: string): void;
}

export class SubscriptionTable implements Subscriptions {
  /** Grows with every change; cached matches of an older one are void. */
  generation = 0;
  private readonly tree = new FilterTree<Entry>();
  private readonly bySubscriber = new Map<Subscriber, Map<string, Entry>>();
  private readonly groups = new Map<string, Group>();
  private readonly counts = new Map<string, number>();

  constructor(private readonly interest: InterestListener) {}

  /** Filters held, each counted once per subscriber. */
  get size(): number {
    let sum = 0;
    for (const entries of this.bySubscriber.values()) sum += entries.size;
    return sum;
  }

  /** All filters that somebody wants, without groups. */
  filters(): Iterable<string> {
    return this.counts.keys();
  }

  add(subscriber: Subscriber, filter: string, tag: number): boolean {
    let entries = this.bySubscriber.get(subscriber);
    if (entries === undefined) {
      entries = new Map();
      this.bySubscriber.set(subscriber, entries);
    }
    const known = entries.get(filter);
    this.generation += 1;
    if (known !== undefined) {
      known.tag = tag;
      return false;
    }
    const plain = plainFilter(filter);
    const group = filter === plain ? undefined : this.groupOf(filter, plain, subscriber.identity.tenant);
    const entry: Entry = { subscriber, filter, tag, group };
    entries.set(filter, entry);
    group?.members.push(entry);
    this.tree.add(plain, entry);
    const count = this.counts.get(plain) ?? 0;
    this.counts.set(plain, count + 1);
    if (count === 0) this.interest.wanted(plain);
    return true;
  }

  remove(subscriber: Subscriber, filter: string): boolean {
    const entries = this.bySubscriber.get(subscriber);
    const entry = entries?.get(filter);
    if (entries === undefined || entry === undefined) return false;
    entries.delete(filter);
    if (entries.size === 0) this.bySubscriber.delete(subscriber);
    this.drop(entry);
    return true;
  }

  removeAll(subscriber: Subscriber): void {
    const entries = this.bySubscriber.get(subscriber);
    this.bySubscriber.delete(subscriber);
    for (const entry of entries?.values() ?? []) this.drop(entry);
  }

  /** Removes what `isAllowed` denies, given the filter without its group, and tells the subscribers. Slow: for changes of the rules. */
  recheck(isAllowed: (identity: Identity, filter: string) => boolean): void {
    const denied: Entry[] = [];
    for (const entries of this.bySubscriber.values()) {
      for (const entry of entries.values()) {
        if (!isAllowed(entry.subscriber.identity, plainFilter(entry.filter))) denied.push(entry);
      }
    }
    for (const { subscriber, filter } of denied)
      if (this.remove(subscriber, filter)) subscriber.revoked(filter);
  }

  tagsOf(subscriber: Subscriber, path: string): readonly number[] {
    if (!this.bySubscriber.has(subscriber)) return [];
    return this.tree
      .match(path)
      .filter((entry) => entry.subscriber === subscriber)
      .map((entry) => entry.tag);
  }

  /** Slow; callers keep the result as long as `generation` stays. */
  match(tenant: string, path: string): Match {
    const entries = this.tree.match(path).filter(({ subscriber }) => subscriber.identity.tenant === tenant);
    if (entries.length === 0) return NO_MATCH;
    const plain = new Map<Subscriber, number[]>();
    const groups = new Set<Group>();
    for (const entry of entries) {
      if (entry.group !== undefined) {
        groups.add(entry.group);
        continue;
      }
      const tags = plain.get(entry.subscriber);
      if (tags === undefined) plain.set(entry.subscriber, [entry.tag]);
      else tags.push(entry.tag);
    }
    return {
      targets: [...plain].map(([subscriber, tags]) => ({ subscriber, tags })),
      groups: [...groups].map((group) => ({ next: () => nextMember(group) })),
    };
  }

  private drop(entry: Entry): void {
    this.generation += 1;
    const plain = plainFilter(entry.filter);
    this.tree.remove(plain, entry);
    const { group } = entry;
    if (group !== undefined) {
      group.members.splice(group.members.indexOf(entry), 1);
      if (group.members.length === 0) this.groups.delete(group.key);
    }
    const count = this.counts.get(plain)! - 1;
    if (count > 0) this.counts.set(plain, count);
    else {
      this.counts.delete(plain);
      this.interest.unwanted(plain);
    }
  }

  private groupOf(filter: string, plain: string, tenant: string): Group {
    const key = `${tenant}\0${filter}`;
    let group = this.groups.get(key);
    if (group === undefined) {
      group = { key, filter: plain, members: [], next: 0 };
      this.groups.set(key, group);
    }
    return group;
  }
}

function nextMember(group: Group): Target {
  const { members } = group;
  const entry = members[group.next++ % members.length]!;
  return { subscriber: entry.subscriber, tags: [entry.tag] };
}

/** `$share/<group>/<filter>` without the first two; a plain filter as it is. */
export function plainFilter(filter: string): string {
  if (!filter.startsWith(SHARE)) return filter;
  return filter.slice(filter.indexOf("/", SHARE.length) + 1);
}
