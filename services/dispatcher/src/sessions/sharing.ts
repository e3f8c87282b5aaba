/** Messages for groups of shared subscriptions: to a member whose client is there, else to one that is away, whose messages others may take. */
import { type BatchView, type envelope, Lane } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { Account } from "../core/ledger.js";
import type { IntakeShare } from "./intake.js";
import type { ListenerLink } from "./listener-link.js";
import { copyOf, type Outgoing } from "./outgoing.js";
import { envelopeIn, publishedQos } from "./records.js";
import { type Entry, type Session, tagQos } from "./session.js";
import type { SessionStore } from "./session-store.js";
import type { GroupMember, SharedGroup } from "./shared-groups.js";

export interface SharingOptions {
  readonly store: SessionStore;
  readonly outgoing: Outgoing;
  readonly accounts: { readonly telemetry: Account; readonly event: Account };
  /** Somebody of the group is connected elsewhere. */
  readonly isPresentBeside: (key: string) => boolean;
  /** Resolves when a member elsewhere has them. @throws AppError */
  readonly handBack: (key: string, envelopes: envelope.Envelope[]) => Promise<void>;
}

const HANDBACK_BYTES = 256 * 1024;
const ROOM = { now: 0, later: 1, away: 2, none: -1 } as const;

/** One per home. */
export class Sharing {
  /** Messages of sessions that have ended, on their way to members elsewhere. */
  inHand = 0;
  /** Groups whose messages are being offered elsewhere. */
  private readonly offering = new Set<SharedGroup>();
  private isClosed = false;

  constructor(private readonly options: SharingOptions) {}

  close(): void {
    this.isClosed = true;
  }

  /** The view stands on a message for the group, which has a member here. @param share undefined where nobody waits for it */
  take(view: BatchView, group: SharedGroup, share: IntakeShare | undefined, again: boolean): void {
    const isEvent = view.lane === Lane.EVENT;
    const { accounts, outgoing } = this.options;
    const account = isEvent ? accounts.event : accounts.telemetry;
    account.received++;
    const id = group.idOf(view.id().toString("latin1"));
    if (again && share !== undefined && outgoing.isDouble(id, share)) account.drop("double", 1);
    else if (isEvent) this.keep(view, group, id, Math.max(1, view.qos), share);
    else this.pass(view, group, account);
  }

  /** What a member elsewhere has left: as `take`, but nobody has counted it before. */
  adopt(view: BatchView, group: SharedGroup): void {
    this.options.accounts.event.received++;
    const id = group.idOf(view.id().toString("latin1"));
    const { recent } = this.options.store;
    // What this home has offered itself may come back to it when everybody else has gone.
    const isOffered = recent.get(id)?.entries.some(({ offered, gone }) => offered && !gone) === true;
    // The answer was lost, and they come again.
    if (recent.has(id) && !isOffered) this.options.accounts.event.drop("double", 1);
    else this.keep(view, group, id, Math.max(1, view.qos), undefined);
  }

  /** Messages may be sent to it, or it has room again: it takes what members have left who are away. */
  pull(session: Session): void {
    const { store } = this.options;
    for (const group of store.groups.of(session)) {
      const tag = group.tagOf(session)!;
      for (const other of group.stranded) {
        for (const entry of this.movable(group, other)) {
          if (this.roomOf(session, entry.message.record.length) !== ROOM.now) return;
          this.move(entry, group, { session, tag });
        }
        group.stranded.delete(other);
      }
    }
  }

  /** Its connection is gone: what it has of its groups goes to whoever is there. */
  left(session: Session): void {
    if (session.queued === 0) return;
    for (const group of this.options.store.groups.of(session)) {
      for (const entry of this.movable(group, session)) {
        const to = this.present(group, entry);
        if (to !== undefined) this.move(entry, group, to);
        else group.stranded.add(session);
      }
      this.offer(group);
    }
  }

  /** It is about to end: another member gets what it had not sent, or of QoS 1 not acknowledged (MQTT 5, 4.8.2). */
  ending(session: Session): void {
    if (session.queued === 0) return;
    for (const group of this.options.store.groups.of(session)) {
      const leftOver: Entry[] = [];
      for (const entry of this.movable(group, session)) {
        const to = this.best(group, entry.message.record.length, session);
        if (to === undefined) leftOver.push(entry);
        else this.move(entry, group, to);
      }
      if (leftOver.length > 0) void this.bequeath(group, leftOver);
    }
  }

  /** Members of the group have come or gone elsewhere. */
  changed(key: string): void {
    const group = this.options.store.groups.get(key);
    if (group !== undefined) this.offer(group);
  }

  /** About once a second: what nobody has taken is offered again. */
  tick(): void {
    for (const group of this.options.store.groups.all()) this.offer(group);
  }

  /** The journal was read: nobody is connected yet. */
  recall(): void {
    const { store } = this.options;
    for (const message of store.messages.values()) {
      if (message.group === "") continue;
      const group = store.groups.get(message.group);
      for (const { session } of message.entries)
        if (group?.tagOf(session) !== undefined) group.stranded.add(session);
    }
  }

  private pass(view: BatchView, group: SharedGroup, account: Account): void {
    const to = group.next(({ begun, link }) =>
      begun && !(link as ListenerLink).isFull ? ROOM.now : ROOM.none,
    );
    if (to === undefined) {
      account.drop(group.present > 0 ? "queue_full" : "target_away", 1);
      return;
    }
    const { session, tag } = to;
    (session.link as ListenerLink).message(copyOf(view), session.connection, 0, 0, false, [tag]);
    account.forwarded++;
  }

  private keep(
    view: BatchView,
    group: SharedGroup,
    id: string,
    published: number,
    share: IntakeShare | undefined,
  ): void {
    const { outgoing, accounts } = this.options;
    const bytes = view.recordEnd - view.recordStart;
    const to = this.best(group, bytes) ?? group.next(() => ROOM.now);
    if (to === undefined || !outgoing.makeRoom(to.session, bytes)) {
      accounts.event.drop("session_queue_full", 1);
      return;
    }
    const what = { record: copyOf(view), id, expiresAtUs: view.expiresAtUs, group: group.key };
    outgoing.keep(what, [recipientOf(to, published)], share);
    this.strand(group, to);
  }

  private strand(group: SharedGroup, { session }: GroupMember): void {
    if (session.link !== undefined) return;
    group.stranded.add(session);
    this.offer(group);
  }

  /** Oldest first: those that may go to another member. */
  private *movable(group: SharedGroup, session: Session): IterableIterator<Entry> {
    for (const entry of session.entries?.values() ?? []) {
      const { message, qos, packetId } = entry;
      // A message of QoS 2 that one member was sent may go to no other (MQTT-4.8.2-4, MQTT-4.8.2-5).
      const isItsOwn = qos === 2 && packetId !== 0;
      if (message.group === group.key && !isItsOwn && !entry.offered && !entry.gone) yield entry;
    }
  }

  private best(group: SharedGroup, bytes: number, except?: Session): GroupMember | undefined {
    const rank = (session: Session): number => (session === except ? ROOM.none : this.roomOf(session, bytes));
    return group.next(rank, group.present > 0 ? ROOM.now : ROOM.away);
  }

  private present(group: SharedGroup, { message }: Entry): GroupMember | undefined {
    if (group.present === 0) return undefined;
    return group.next((session) => (session.begun ? this.roomOf(session, message.record.length) : ROOM.none));
  }

  private roomOf(session: Session, bytes: number): number {
    const { outgoing } = this.options;
    if (!outgoing.hasRoomIn(session, bytes)) return ROOM.none;
    if (!session.begun) return ROOM.away;
    return outgoing.hasWindow(session) ? ROOM.now : ROOM.later;
  }

  /** Recorded as a message of the other one before it is taken from the first. */
  private move(entry: Entry, group: SharedGroup, to: GroupMember): void {
    const { outgoing } = this.options;
    const { record, id, expiresAtUs, waiters } = entry.message;
    const moved = outgoing.keep(
      { record, id, expiresAtUs, group: group.key },
      [recipientOf(to, publishedQos(record))],
      undefined,
    );
    moved.waiters.push(...waiters.splice(0));
    outgoing.secureAll();
    outgoing.finish(entry);
    this.strand(group, to);
  }

  /** What waits with those who are away goes to members elsewhere, where there are any, and none here. */
  private offer(group: SharedGroup): void {
    const { isPresentBeside } = this.options;
    if (group.stranded.size === 0 || group.present > 0 || this.offering.has(group)) return;
    if (!isPresentBeside(group.key)) return;
    this.offering.add(group);
    void this.offerAll(group).finally(() => this.offering.delete(group));
  }

  private async offerAll(group: SharedGroup): Promise<void> {
    const { isPresentBeside, outgoing, accounts } = this.options;
    while (!this.isClosed && group.present === 0 && isPresentBeside(group.key)) {
      const entries = this.some(group);
      if (entries.length === 0) return;
      for (const entry of entries) entry.offered = true;
      let isTaken = true;
      try {
        await this.options.handBack(
          group.key,
          entries.map(({ message }) => envelopeIn(message.record)),
        );
      } catch (thrown) {
        AppError.from(thrown);
        isTaken = false;
      }
      if (this.isClosed) return;
      for (const entry of entries) {
        entry.offered = false;
        if (entry.gone) continue;
        if (isTaken) {
          accounts.event.forwarded++;
          this.part(entry);
        } else outgoing.putBack(entry);
      }
      if (!isTaken) return;
    }
  }

  /** It is somebody else's now, and may come back from there. */
  private part(entry: Entry): void {
    this.options.outgoing.finish(entry);
    this.options.store.recent.forget(entry.message);
  }

  private some(group: SharedGroup): Entry[] {
    const found: Entry[] = [];
    let bytes = 0;
    for (const session of group.stranded) {
      for (const entry of this.movable(group, session)) {
        if (bytes >= HANDBACK_BYTES) return found;
        found.push(entry);
        bytes += entry.message.record.length;
      }
      if (found.length === 0) group.stranded.delete(session);
    }
    return found;
  }

  private async bequeath(group: SharedGroup, entries: readonly Entry[]): Promise<void> {
    const { accounts, handBack } = this.options;
    const envelopes = entries.map(({ message }) => envelopeIn(message.record));
    for (const entry of entries) this.part(entry);
    this.inHand += entries.length;
    try {
      await handBack(group.key, envelopes);
      accounts.event.forwarded += entries.length;
    } catch (thrown) {
      AppError.from(thrown);
      accounts.event.drop("session_ended", entries.length);
    } finally {
      this.inHand -= entries.length;
    }
  }
}

function recipientOf({ session, tag }: GroupMember, published: number) {
  return { session, qos: Math.min(published, tagQos(tag)) as 1 | 2, tags: [tag] };
}
