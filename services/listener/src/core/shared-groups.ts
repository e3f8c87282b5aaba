/** The groups of shared subscriptions on this listener, and who is in them. */
import type { Subscriber, Target } from "./subscriptions.js";

const SHARE = "$share/";

interface Member {
  readonly subscriber: Subscriber;
  tag: number;
}

/** Members of one group for one filter take turns. */
export class SharedGroup {
  private readonly members: Member[] = [];
  private turn = 0;

  constructor(
    readonly tenant: string,
    /** As subscribed, with the group. */
    readonly name: string,
    /** Without the group. */
    readonly filter: string,
    /** The group's in the index. */
    readonly number: number,
  ) {}

  get size(): number {
    return this.members.length;
  }

  /** Whose turn it is; the group must not be empty. */
  next(): Target {
    const { subscriber, tag } = this.members[this.turn++ % this.members.length]!;
    return { subscriber, tags: [tag] };
  }

  join(member: Member): void {
    this.members.push(member);
  }

  leave(member: Member): void {
    this.members.splice(this.members.indexOf(member), 1);
  }
}

interface Membership {
  readonly group: SharedGroup;
  readonly member: Member;
}

/** Shared subscriptions are few, so they are kept in plain maps. */
export class SharedGroups {
  members = 0;
  private readonly byName = new Map<string, SharedGroup>();
  private readonly bySubscriber = new Map<Subscriber, Map<string, Membership>>();

  get groups(): number {
    return this.byName.size;
  }

  find(tenant: string, name: string): SharedGroup | undefined {
    return this.byName.get(`${tenant}\0${name}`);
  }

  create(tenant: string, name: string, filter: string, number: number): SharedGroup {
    const group = new SharedGroup(tenant, name, filter, number);
    this.byName.set(`${tenant}\0${name}`, group);
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
      known.member.tag = tag;
      return false;
    }
    const member: Member = { subscriber, tag };
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
    if (group.size === 0) this.byName.delete(`${group.tenant}\0${group.name}`);
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
    return [...memberships.values()].map(({ group, member }) => ({ group, tag: member.tag }));
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
