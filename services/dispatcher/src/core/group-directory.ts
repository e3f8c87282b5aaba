/** The groups of shared subscriptions: on which listeners they have members, and how many. */
import { splitFilterKey } from "@myelin/contract";
import type { SubscriberIndex } from "./matcher/subscriber-index.js";
import type { Subscriber, TargetRef } from "./plan.js";

/** Groups over all listeners: each has queues of its own. Those beyond it get no messages until others have gone. */
const MAX_GROUPS = 16_384;

export interface GroupDirectoryOptions {
  readonly index: SubscriberIndex<Subscriber>;
  /** The target that stands for a group in plans. */
  readonly targetOf: (key: string) => TargetRef;
  /** Members of the group have come or gone. */
  readonly onChange: (key: string) => void;
}

interface Member {
  count: number;
  /** Which telling of its listener's groups was the last that named it. */
  telling: number;
}

interface Group {
  readonly tenant: string;
  /** Without `$share/` and the group. */
  readonly filter: string;
  readonly subscriber: Subscriber;
  readonly members: Map<string, Member>;
}

/** Told by `ListenerDirectory`. Keys are those of `GroupInterest`. */
export class GroupDirectory {
  private readonly groups = new Map<string, Group>();
  private readonly tellings = new Map<string, number>();

  constructor(private readonly options: GroupDirectoryOptions) {}

  has(key: string): boolean {
    return this.groups.has(key);
  }

  /** Listeners with members of the group. */
  *membersOf(key: string): IterableIterator<readonly [listener: string, members: number]> {
    for (const [listener, { count }] of this.groups.get(key)?.members ?? []) yield [listener, count];
  }

  /** So many members has the group on this listener now. */
  set(listener: string, key: string, count: number): void {
    const telling = this.tellings.get(listener) ?? 0;
    const group = count === 0 ? this.groups.get(key) : this.findOrCreate(key);
    const member = group?.members.get(listener);
    if (group === undefined || (member === undefined && count === 0)) return;
    if (count === 0) this.take(listener, key, group);
    else if (member === undefined) {
      group.members.set(listener, { count, telling });
      this.options.onChange(key);
    } else {
      member.telling = telling;
      if (member.count === count) return;
      member.count = count;
      this.options.onChange(key);
    }
  }

  /** The listener tells all of its groups again, from the beginning. */
  retell(listener: string): void {
    this.tellings.set(listener, (this.tellings.get(listener) ?? 0) + 1);
  }

  /** It has told all of them: what was not told again is no more. */
  told(listener: string): void {
    const telling = this.tellings.get(listener) ?? 0;
    for (const [key, group] of this.groups) {
      const member = group.members.get(listener);
      if (member !== undefined && member.telling !== telling) this.take(listener, key, group);
    }
  }

  /** The listener is gone. */
  drop(listener: string): void {
    this.tellings.delete(listener);
    for (const [key, group] of this.groups) if (group.members.has(listener)) this.take(listener, key, group);
  }

  private findOrCreate(key: string): Group | undefined {
    const known = this.groups.get(key);
    if (known !== undefined) return known;
    if (this.groups.size >= MAX_GROUPS) return undefined;
    const { tenant, filter } = splitFilterKey(key);
    const plain = filter.split("/").slice(2).join("/");
    const subscriber: Subscriber = { target: this.options.targetOf(key), test: undefined };
    const group = { tenant, filter: plain, subscriber, members: new Map<string, Member>() };
    this.groups.set(key, group);
    this.options.index.add(tenant, plain, subscriber);
    return group;
  }

  private take(listener: string, key: string, group: Group): void {
    group.members.delete(listener);
    if (group.members.size === 0) {
      this.groups.delete(key);
      this.options.index.remove(group.tenant, group.filter, group.subscriber);
    }
    this.options.onChange(key);
  }
}
