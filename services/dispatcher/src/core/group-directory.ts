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

/** Sessions of one home: their clients are connected, or away. */
interface Home {
  readonly present: number;
  readonly away: number;
}

interface Group {
  readonly tenant: string;
  /** Without `$share/` and the group. */
  readonly filter: string;
  readonly subscriber: Subscriber;
  readonly members: Map<string, Member>;
  /** By partition. */
  readonly homes: Map<number, Home>;
}

const HOME = "home\0";

/** What the home of a partition's sessions is called among those that have members. */
export function nameOfHome(partition: number): string {
  return `${HOME}${partition}`;
}

/** The partition of a home; undefined for a listener. */
export function homeNamed(name: string): number | undefined {
  return name.startsWith(HOME) ? Number(name.slice(HOME.length)) : undefined;
}

/** Told by `ListenerDirectory`. Keys are those of `GroupInterest`. */
export class GroupDirectory {
  private readonly groups = new Map<string, Group>();
  private readonly tellings = new Map<string, number>();

  constructor(private readonly options: GroupDirectoryOptions) {}

  has(key: string): boolean {
    return this.groups.has(key);
  }

  /**
   * Listeners with members of the group, and homes, by their names, with how many count: while the client of any member is connected those who are
   * away do not.
   */
  *membersOf(key: string): IterableIterator<readonly [name: string, members: number]> {
    const group = this.groups.get(key);
    if (group === undefined) return;
    for (const [listener, { count }] of group.members) yield [listener, count];
    const isAnybodyThere = isPresent(group);
    for (const [partition, { present, away }] of group.homes) {
      yield [nameOfHome(partition), isAnybodyThere ? present : away];
    }
  }

  /** Somebody is connected, on a listener or of another home than this one. */
  isPresentBeside(partition: number, key: string): boolean {
    const group = this.groups.get(key);
    return group !== undefined && isPresent(group, partition);
  }

  /** Groups with members of a home. */
  *ofHome(partition: number): IterableIterator<string> {
    for (const [key, { homes }] of this.groups) if (homes.has(partition)) yield key;
  }

  /** So many sessions of a home are members now. */
  setHome(partition: number, key: string, present: number, away: number): void {
    const isGone = present + away === 0;
    const group = isGone ? this.groups.get(key) : this.findOrCreate(key);
    if (group === undefined) return;
    const known = group.homes.get(partition);
    if (known?.present === present && known.away === away) return;
    if (!isGone) group.homes.set(partition, { present, away });
    else if (!group.homes.delete(partition)) return;
    this.changed(key, group);
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
    const group = {
      tenant,
      filter: plain,
      subscriber,
      members: new Map<string, Member>(),
      homes: new Map<number, Home>(),
    };
    this.groups.set(key, group);
    this.options.index.add(tenant, plain, subscriber);
    return group;
  }

  private take(listener: string, key: string, group: Group): void {
    group.members.delete(listener);
    this.changed(key, group);
  }

  private changed(key: string, group: Group): void {
    if (group.members.size + group.homes.size === 0) {
      this.groups.delete(key);
      this.options.index.remove(group.tenant, group.filter, group.subscriber);
    }
    this.options.onChange(key);
  }
}

function isPresent({ members, homes }: Group, except?: number): boolean {
  if (members.size > 0) return true;
  for (const [partition, { present }] of homes) if (present > 0 && partition !== except) return true;
  return false;
}
