/** The groups of shared subscriptions on this listener, and who is in them. */
import { filterKey } from "@myelin/contract";
import type { Subscriber, SubscriberMessage } from "./subscriptions.js";

const SHARE = "$share/";
/** The dispatcher keeps a way to each of them. */
const MAX_GROUPS = 4096;

interface Member {
  readonly subscriber: Subscriber;
  readonly tags: [number];
}

/** Gives a message to a member of the group, by its key, on another listener; false when it cannot. */
export type Elsewhere = (key: string, message: SubscriberMessage) => boolean;

/** Members of one group for one filter take turns. The dispatcher has chosen this listener for what comes here. */
export class SharedGroup {
  readonly key: string;
  /** Set when its events have waited for long enough: they are given to members that have no room too, which ends those that can take no more. */
  isOverdue = false;
  private readonly members: Member[] = [];
  private turn = 0;

  constructor(
    tenant: string,
    /** As subscribed, with the group. */
    readonly name: string,
    /** Without the group. */
    readonly filter: string,
    private readonly elsewhere: Elsewhere,
  ) {
    this.key = filterKey(tenant, name);
  }

  get size(): number {
    return this.members.length;
  }

  /** It has members, none of which has room, and its events are to wait for them. */
  get isStuck(): boolean {
    return this.members.length > 0 && !this.isOverdue && !this.hasRoom;
  }

  /** Some member can take one more. Found with the first one as a rule. */
  get hasRoom(): boolean {
    const { members } = this;
    for (let i = 0; i < members.length; i++) {
      if (members[(this.turn + i) % members.length]!.subscriber.isFull !== true) return true;
    }
    return false;
  }

  /**
   * Gives the message to the member whose turn it is, or to the next one that has more room; to another listener when the last one has left.
   * False when it was dropped.
   */
  deliver(message: SubscriberMessage): boolean {
    return (
      this.offer(message, isFree) ??
      this.offer(message, isBusyOnly) ??
      this.offer(message, isFull) ??
      (this.members.length === 0 && this.elsewhere(this.key, message))
    );
  }

  /** To those who are as busy as that, in turn. Undefined: nobody was there to take it or drop it. */
  private offer(message: SubscriberMessage, fits: (subscriber: Subscriber) => boolean): boolean | undefined {
    const { members } = this;
    let at = this.turn;
    for (let left = members.length; left > 0 && members.length > 0; left--) {
      at %= members.length;
      const { subscriber, tags } = members[at]!;
      if (fits(subscriber)) {
        const isTaken = subscriber.deliver(message, tags, this.giveBack);
        // One that was too slow for it has left, and has not taken it with it.
        if (!isTaken && members[at]?.subscriber !== subscriber) continue;
        this.turn = (at + 1) % members.length;
        return isTaken;
      }
      at += 1;
    }
    return undefined;
  }

  /** A member has gone without acknowledging it: another one gets it (MQTT 5, 4.8.2). */
  private readonly giveBack = (message: SubscriberMessage): boolean => this.deliver(message);

  join(member: Member): void {
    this.members.push(member);
  }

  leave(member: Member): void {
    this.members.splice(this.members.indexOf(member), 1);
  }
}

function isFree({ isBusy }: Subscriber): boolean {
  return isBusy !== true;
}

function isBusyOnly({ isBusy, isFull: full }: Subscriber): boolean {
  return isBusy === true && full !== true;
}

function isFull({ isBusy, isFull: full }: Subscriber): boolean {
  return isBusy === true && full === true;
}

interface Membership {
  readonly group: SharedGroup;
  readonly member: Member;
}

/** Shared subscriptions are few, so they are kept in plain maps. */
export class SharedGroups {
  members = 0;
  private readonly byKey = new Map<string, SharedGroup>();
  private readonly bySubscriber = new Map<Subscriber, Map<string, Membership>>();

  constructor(private readonly elsewhere: Elsewhere) {}

  groups(): Iterable<SharedGroup> {
    return this.byKey.values();
  }

  /** By its key, see `filterKey`, with the group in the filter. */
  find(key: string): SharedGroup | undefined {
    return this.byKey.get(key);
  }

  /** Undefined when there are too many. */
  findOrCreate(tenant: string, name: string, filter: string): SharedGroup | undefined {
    const known = this.byKey.get(filterKey(tenant, name));
    if (known !== undefined) return known;
    if (this.byKey.size >= MAX_GROUPS) return undefined;
    const group = new SharedGroup(tenant, name, filter, this.elsewhere);
    this.byKey.set(group.key, group);
    return group;
  }

  /** True for a new member; the tag of one that is known is replaced. */
  join(group: SharedGroup, subscriber: Subscriber, filter: string, tag: number): boolean {
    let memberships = this.bySubscriber.get(subscriber);
    if (memberships === undefined) {
      memberships = new Map();
      this.bySubscriber.set(subscriber, memberships);
    }
    const known = memberships.get(filter);
    if (known !== undefined) {
      known.member.tags[0] = tag;
      return false;
    }
    const member: Member = { subscriber, tags: [tag] };
    memberships.set(filter, { group, member });
    group.join(member);
    this.members++;
    return true;
  }

  /** The group that the subscriber has left; it may be empty now, and is forgotten then. */
  leave(subscriber: Subscriber, filter: string): SharedGroup | undefined {
    const memberships = this.bySubscriber.get(subscriber);
    const membership = memberships?.get(filter);
    if (memberships === undefined || membership === undefined) return undefined;
    memberships.delete(filter);
    if (memberships.size === 0) this.bySubscriber.delete(subscriber);
    const { group, member } = membership;
    group.leave(member);
    this.members--;
    if (group.size === 0) this.byKey.delete(group.key);
    return group;
  }

  leaveAll(subscriber: Subscriber): SharedGroup[] {
    const names = [...(this.bySubscriber.get(subscriber)?.keys() ?? [])];
    return names.flatMap((name) => this.leave(subscriber, name) ?? []);
  }

  countOf(subscriber: Subscriber): number {
    return this.bySubscriber.get(subscriber)?.size ?? 0;
  }

  holds(subscriber: Subscriber, filter: string): boolean {
    return this.bySubscriber.get(subscriber)?.has(filter) === true;
  }

  /** Groups a subscriber is in, with its tag. */
  of(subscriber: Subscriber): readonly { readonly group: SharedGroup; readonly tag: number }[] {
    const memberships = this.bySubscriber.get(subscriber);
    if (memberships === undefined) return [];
    return [...memberships.values()].map(({ group, member }) => ({ group, tag: member.tags[0] }));
  }

  /** Every membership; `filter` is as it was subscribed. */
  *all(): IterableIterator<{
    readonly subscriber: Subscriber;
    readonly filter: string;
    readonly group: SharedGroup;
  }> {
    for (const [subscriber, memberships] of this.bySubscriber) {
      for (const [filter, { group }] of memberships) yield { subscriber, filter, group };
    }
  }
}

/** `$share/<group>/<filter>` without the first two; a plain filter as it is. */
export function plainFilter(filter: string): string {
  if (!filter.startsWith(SHARE)) return filter;
  return filter.slice(filter.indexOf("/", SHARE.length) + 1);
}
