/** Groups of shared subscriptions above QoS 0 among the sessions of one home: who is a member, and whose client is there. */
import { createHash } from "node:crypto";
import { filterKey } from "@myelin/contract";
import { type Session, tagQos } from "./session.js";

const SHARE = "$share/";
const ID_BYTES = 16;
/** Every dispatcher keeps a way to each of them. */
const MAX_GROUPS = 4096;

/** Told how many members of a group have a connection, and how many are away. */
export type OnGroup = (key: string, present: number, away: number) => void;

export interface GroupMember {
  readonly session: Session;
  readonly tag: number;
}

/** One group; its members take turns. */
export class SharedGroup {
  present = 0;
  /** Members that are away and have messages of the group, which others may take; some may have none any more. */
  readonly stranded = new Set<Session>();
  private readonly members: GroupMember[] = [];
  private readonly tags = new Map<Session, number>();
  private turn = 0;
  private readonly mask: Buffer;

  constructor(readonly key: string) {
    this.mask = createHash("sha256").update(key).digest();
  }

  get size(): number {
    return this.members.length;
  }

  /** What a message is known by here: it may have come to the same sessions by filters of their own, or by other groups. */
  idOf(id: string): string {
    if (id.length !== ID_BYTES) return "";
    const bytes = Buffer.from(id, "latin1");
    for (let i = 0; i < ID_BYTES; i++) bytes[i] = bytes[i]! ^ this.mask[i]!;
    return bytes.toString("latin1");
  }

  set(session: Session, tag: number): void {
    if (this.tags.has(session)) this.members[this.indexOf(session)] = { session, tag };
    else {
      this.members.push({ session, tag });
      if (session.begun) this.present++;
    }
    this.tags.set(session, tag);
  }

  delete(session: Session): void {
    if (!this.tags.delete(session)) return;
    this.members.splice(this.indexOf(session), 1);
    if (session.begun) this.present--;
    this.stranded.delete(session);
  }

  tagOf(session: Session): number | undefined {
    return this.tags.get(session);
  }

  /**
   * The member whose turn it is among those that fit best; undefined when none does.
   * @param rank the lowest is best, below 0 is none
   * @param enough nobody is looked for who is better than this
   */
  next(rank: (session: Session) => number, enough = 0): GroupMember | undefined {
    const { members, turn } = this;
    let best = Number.POSITIVE_INFINITY;
    let found = -1;
    for (let i = 0; i < members.length && best > enough; i++) {
      const at = (turn + i) % members.length;
      const its = rank(members[at]!.session);
      if (its < 0 || its >= best) continue;
      best = its;
      found = at;
    }
    if (found < 0) return undefined;
    this.turn = (found + 1) % members.length;
    return members[found];
  }

  private indexOf(session: Session): number {
    return this.members.findIndex((member) => member.session === session);
  }
}

/** All groups of one home. */
export class SharedGroups {
  onGroup: OnGroup = () => undefined;
  private readonly byKey = new Map<string, SharedGroup>();
  private readonly bySession = new Map<Session, Map<string, SharedGroup>>();

  /** Those that the session is a member of. */
  of(session: Session): Iterable<SharedGroup> {
    return this.bySession.get(session)?.values() ?? [];
  }

  get(key: string): SharedGroup | undefined {
    return this.byKey.get(key);
  }

  all(): Iterable<SharedGroup> {
    return this.byKey.values();
  }

  /**
   * The session holds the filter, with this tag. Those that are not shared, or of QoS 0, change nothing but what was held before. False: there are
   * too many groups, and nothing has changed.
   */
  hold(session: Session, filter: string, tag: number): boolean {
    if (!filter.startsWith(SHARE) || tagQos(tag) === 0) {
      this.release(session, filter);
      return true;
    }
    const key = filterKey(session.tenant, filter);
    let group = this.byKey.get(key);
    if (group === undefined) {
      if (this.byKey.size >= MAX_GROUPS) return false;
      group = new SharedGroup(key);
      this.byKey.set(key, group);
    }
    const known = this.bySession.get(session) ?? new Map<string, SharedGroup>();
    this.bySession.set(session, known.set(filter, group));
    group.set(session, tag);
    this.tell(group);
    return true;
  }

  release(session: Session, filter: string): void {
    const known = this.bySession.get(session);
    const group = known?.get(filter);
    if (known === undefined || group === undefined) return;
    known.delete(filter);
    if (known.size === 0) this.bySession.delete(session);
    group.delete(session);
    if (group.size === 0) this.byKey.delete(group.key);
    this.tell(group);
  }

  releaseAll(session: Session): void {
    for (const filter of [...(this.bySession.get(session)?.keys() ?? [])]) this.release(session, filter);
  }

  /** From here on messages may be sent over its connection, or no longer. */
  begun(session: Session, isBegun: boolean): void {
    if (session.begun === isBegun) return;
    session.begun = isBegun;
    for (const group of this.of(session)) {
      if (isBegun) group.stranded.delete(session);
      group.present += isBegun ? 1 : -1;
      this.tell(group);
    }
  }

  private tell(group: SharedGroup): void {
    this.onGroup(group.key, group.present, group.size - group.present);
  }
}
