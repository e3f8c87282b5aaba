/** Messages on their way from a home to its clients: what is sent when, what is recorded when, and who is told that nothing can be lost. */
import { type BatchView, Lane, session as wire } from "@myelin/contract";
import type { Clock } from "@myelin/kernel";
import { Deque } from "../core/deque.js";
import type { Account } from "../core/ledger.js";
import type { IntakeShare } from "./intake.js";
import type { Journal } from "./journal.js";
import type { ListenerLink } from "./listener-link.js";
import { messageRecord, outgoingRecord } from "./records.js";
import { type Entry, type Message, type QueueLimits, type Session, tagNoLocal, tagQos } from "./session.js";
import { type NewMessage, type Recipient, type SessionStore, tellWaiters } from "./session-store.js";

export interface SessionLimits extends QueueLimits {
  /** Those of sessions with a label that is named here. */
  readonly byLabel: ReadonlyMap<string, QueueLimits>;
  /** Bytes of messages that one partition holds in memory before it takes no more. */
  readonly maxPartitionBytes: number;
  /** Messages on their way to one client, at most its receive maximum. */
  readonly window: number;
}

export interface OutgoingOptions {
  readonly store: SessionStore;
  readonly clock: Clock;
  readonly limits: SessionLimits;
  readonly accounts: { readonly telemetry: Account; readonly event: Account };
  /** A message is in memory only: `tick` should be called soon. */
  readonly onUnsafe: () => void;
  /** Nothing more waits for a session whose client has just acknowledged something. */
  readonly onIdle: (session: Session) => void;
}

interface Match {
  readonly session: Session;
  readonly qos: 0 | 1 | 2;
  readonly tags: number[];
  /** Some of its filters do not want the client's own messages. */
  readonly noLocal: boolean;
}

const MAX_MATCHES = 10_000;
/** Given by the listener from here on, for what lives with the connection alone. */
const END_OF_PACKET_IDS = 0x8000;
const NO_MATCHES: readonly Match[] = [];

/** One per home. */
export class Outgoing {
  journal!: Journal;
  private matches = new Map<string, readonly Match[]>();
  private matchesOf = -1;
  /** Messages in memory only, oldest first, and how many of them the last tick has seen. */
  private unsafe: Message[] = [];
  private seen = 0;
  /** Entries whose way is to be recorded. */
  private moved: Entry[] = [];
  private doneSessions: number[] = [];
  private doneMessages: number[] = [];

  constructor(private readonly options: OutgoingOptions) {}

  /** Something is in memory only. */
  get isUnsafe(): boolean {
    return this.unsafe.length > 0;
  }

  get hasRoom(): boolean {
    return this.options.store.bytes < this.options.limits.maxPartitionBytes;
  }

  /** The view stands on an envelope that somebody here may want. @param share undefined for telemetry */
  take(view: BatchView, share: IntakeShare | undefined, again: boolean): void {
    const { accounts } = this.options;
    const isEvent = view.lane === Lane.EVENT;
    const account = isEvent ? accounts.event : accounts.telemetry;
    if (again && share !== undefined && this.isDouble(view.id().toString("latin1"), share)) {
      account.received++;
      account.drop("double", 1);
      return;
    }
    const published = isEvent ? Math.max(1, view.qos) : 0;
    const found = this.matchOf(view.tenant, view.path);
    if (found.length === 0) {
      account.received++;
      account.drop("no_session", 1);
      return;
    }
    account.received += found.length;
    let record: Buffer | undefined;
    let recipients: Recipient[] | undefined;
    for (const match of found) {
      const { session } = match;
      const wanted = match.noLocal && view.deviceId === session.client ? withoutOwn(match) : match;
      if (wanted === undefined) {
        account.drop("no_local", 1);
        continue;
      }
      const { tags } = wanted;
      const granted = Math.min(published, wanted.qos) as 0 | 1 | 2;
      if (granted > 0) {
        if (this.makeRoom(session, view.recordEnd - view.recordStart)) {
          recipients ??= [];
          recipients.push({ session, qos: granted as 1 | 2, tags });
        } else account.drop("session_queue_full", 1);
        continue;
      }
      const link = session.begun ? (session.link as ListenerLink | undefined) : undefined;
      if (link === undefined) account.drop("target_away", 1);
      else if (link.isFull) account.drop("queue_full", 1);
      else {
        record ??= copyOf(view);
        link.message(record, session.connection, 0, 0, false, tags);
        account.forwarded++;
      }
    }
    if (recipients === undefined) return;
    const { expiresAtUs } = view;
    const id = view.id().toString("latin1");
    this.keep({ record: record ?? copyOf(view), id, expiresAtUs, group: "" }, recipients, share);
  }

  /** It was taken before; the share waits until nothing of it can be lost. */
  isDouble(id: string, share: IntakeShare): boolean {
    const { recent } = this.options.store;
    if (!recent.has(id)) return false;
    const message = recent.get(id);
    if (message !== undefined && message.kept !== "safe") {
      share.claim();
      message.waiters.push(share);
    }
    return true;
  }

  /** The client may be sent one more. */
  hasWindow(session: Session): boolean {
    const window = Math.min(session.receiveMaximum, this.options.limits.window);
    return (session.inflight?.size ?? 0) + (session.waiting?.length ?? 0) < window;
  }

  /** One more may wait for the session, and nothing that waits has to go for it. */
  hasRoomIn(session: Session, bytes: number): boolean {
    const { maxMessages, maxBytes } = this.limitsOf(session);
    return session.queued < maxMessages && session.bytes + bytes <= maxBytes;
  }

  /** It was offered to others, who did not take it. */
  putBack(entry: Entry): void {
    const { session } = entry;
    if (entry.packetId !== 0) return;
    session.waiting ??= new Deque();
    session.waiting.push(entry);
    this.pump(session);
  }

  /** Sends what waits for a session as far as its client has room. */
  pump(session: Session): void {
    const link = session.link as ListenerLink | undefined;
    const { waiting } = session;
    if (link === undefined || !session.begun || waiting === undefined) return;
    const { store, limits } = this.options;
    const window = Math.min(session.receiveMaximum, limits.window);
    while ((session.inflight?.size ?? 0) < window) {
      const entry = waiting.shift();
      if (entry === undefined) return;
      if (entry.gone || entry.packetId !== 0 || entry.offered) continue;
      if (this.isExpired(entry.message)) {
        this.expire(entry);
        continue;
      }
      store.markSent(entry, freeId(session), false);
      // Behind a message that waits for its record one of QoS 1 waits as well, or it would overtake.
      if (entry.qos === 1 && session.recording === 0) {
        this.send(entry, false);
        if (entry.message.kept !== "memory") this.note(entry);
      } else this.sendRecorded(entry);
    }
  }

  /** A connection holds the session again: what its client has not answered for comes once more, in order, then the rest. */
  resume(session: Session): void {
    const link = session.link as ListenerLink;
    for (const entry of session.inflight?.values() ?? []) {
      if (entry.released) link.signal(session.connection, wire.SignalKind.PUBREL, entry.packetId);
      else this.send(entry, true);
    }
    this.pump(session);
  }

  /** PUBACK, a refusing PUBREC, or PUBCOMP. */
  done(session: Session, packetId: number): void {
    const entry = session.inflight?.get(packetId);
    if (entry === undefined) return;
    this.options.accounts.event.forwarded++;
    this.finish(entry);
    this.pump(session);
    if (session.waiting === undefined || session.waiting.length === 0) this.options.onIdle(session);
  }

  /** PUBREC: recorded, then the client is told. */
  received(session: Session, packetId: number): void {
    const entry = session.inflight?.get(packetId);
    const link = session.link as ListenerLink | undefined;
    const { connection } = session;
    if (entry !== undefined && entry.qos === 2) {
      entry.released = true;
      this.moved.push(entry);
    }
    this.journal.whenStored(() => {
      if (session.link === link) link?.signal(connection, wire.SignalKind.PUBREL, packetId);
    });
  }

  /** The session ends: what waits for it is given up. */
  abandon(session: Session): void {
    this.options.accounts.event.drop("session_ended", session.queued);
  }

  /** Called about every 25 ms while something is in memory only: what the tick before has seen is written down. */
  tick(): void {
    if (this.seen > 0) this.secure(this.seen);
    this.seen = this.unsafe.length;
  }

  /** Adds to the journal what was gathered for it. */
  collect(): void {
    if (this.moved.length > 0) {
      const moved = this.moved.filter((entry) => !entry.gone);
      this.moved = [];
      if (moved.length > 0) this.journal.add(outgoingRecord(moved), moved.length * 16);
    }
    if (this.doneMessages.length > 0) {
      const value = { sessions: this.doneSessions, messages: this.doneMessages };
      this.doneSessions = [];
      this.doneMessages = [];
      this.journal.add({ record: { $case: "done", value } }, value.sessions.length * 12);
    }
  }

  /** Everything that waits in memory goes into the journal. */
  secureAll(): void {
    this.secure(this.unsafe.length);
  }

  /** A snapshot holds everything: these messages need no record of their own. Returns who to tell when it is stored. */
  takeUnsafe(): Message[] {
    const taken = this.unsafe.filter((message) => message.open > 0 && message.kept === "memory");
    this.unsafe = [];
    this.seen = 0;
    for (const message of taken) message.kept = "writing";
    return taken;
  }

  private matchOf(tenant: string, path: string): readonly Match[] {
    const { store } = this.options;
    if (this.matchesOf !== store.generation) {
      this.matches.clear();
      this.matchesOf = store.generation;
    }
    const key = `${tenant}\0${path}`;
    let found = this.matches.get(key);
    if (found === undefined) {
      found = this.findMatches(tenant, path);
      if (this.matches.size >= MAX_MATCHES) this.matches.clear();
      this.matches.set(key, found);
    }
    return found;
  }

  /** One per session: with the highest QoS of its filters, and the tags of all. */
  private findMatches(tenant: string, path: string): readonly Match[] {
    const { store } = this.options;
    const bySlot = new Map<number, number[]>();
    store.index.match(tenant, path, (slot, tag) => {
      const tags = bySlot.get(slot);
      if (tags === undefined) bySlot.set(slot, [tag]);
      else tags.push(tag);
    });
    if (bySlot.size === 0) return NO_MATCHES;
    const found: Match[] = [];
    for (const [slot, tags] of bySlot) {
      const session = store.bySlot(slot);
      if (session === undefined) continue;
      found.push({ session, qos: highestOf(tags), tags, noLocal: tags.some(tagNoLocal) });
    }
    return found;
  }

  /** A message that its recipients have room for. Keeps `record` and the tags. */
  keep(
    what: Omit<NewMessage, "number">,
    recipients: readonly Recipient[],
    share: IntakeShare | undefined,
  ): Message {
    const { store } = this.options;
    share?.claim();
    const message = store.addMessage({ number: store.nextMessage, ...what }, recipients, share);
    this.unsafe.push(message);
    this.options.onUnsafe();
    let mustWrite = false;
    for (const { session, qos } of recipients) {
      if (session.begun && session.link !== undefined) this.pump(session);
      else mustWrite = true;
      if (qos === 2) mustWrite = true;
    }
    // Nobody will acknowledge it soon: there is nothing to wait for.
    if (mustWrite) this.secureAll();
    return message;
  }

  /** Makes room for one more as the limits say. False: the new one is refused. */
  makeRoom(session: Session, bytes: number): boolean {
    const { maxBytes, whenFull } = this.limitsOf(session);
    const isFull = (): boolean => !this.hasRoomIn(session, bytes);
    if (!isFull()) return true;
    if (whenFull === "refuse" || bytes > maxBytes) {
      session.dropped++;
      return false;
    }
    while (isFull()) {
      const oldest = session.waiting?.shift();
      if (oldest === undefined) {
        session.dropped++;
        return false;
      }
      if (oldest.gone || oldest.packetId !== 0) continue;
      session.dropped++;
      this.options.accounts.event.drop("session_queue_full", 1);
      this.finish(oldest);
    }
    return true;
  }

  private limitsOf({ bounds, label }: Session): QueueLimits {
    const { limits } = this.options;
    return bounds ?? limits.byLabel.get(label) ?? limits;
  }

  private isExpired({ expiresAtUs }: Message): boolean {
    return expiresAtUs !== 0 && expiresAtUs <= this.options.clock.wallUs();
  }

  private expire(entry: Entry): void {
    this.options.accounts.event.expired++;
    this.finish(entry);
  }

  /** The session is done with it. */
  finish(entry: Entry): void {
    const { message, session } = entry;
    this.options.store.finish(entry);
    if (message.kept === "memory") return;
    this.doneSessions.push(session.number);
    this.doneMessages.push(message.number);
    this.journal.writeSoon();
  }

  private send(entry: Entry, dup: boolean): void {
    const { session, message, packetId, qos, tags } = entry;
    const link = session.link as ListenerLink;
    link.message(message.record, session.connection, packetId, qos, dup, tags);
  }

  /** QoS 2: the identifier is recorded before the message leaves, so that it is never sent under another one. */
  private sendRecorded(entry: Entry): void {
    const { session } = entry;
    const { link, connection } = session;
    this.secureAll();
    this.moved.push(entry);
    session.recording++;
    this.journal.whenStored(() => {
      session.recording--;
      if (!entry.gone && session.link === link && session.connection === connection) this.send(entry, false);
    });
  }

  /** Its packet identifier is recorded with the next batch, so that it comes under the same one after a restart. */
  private note(entry: Entry): void {
    this.moved.push(entry);
    this.journal.writeSoon();
  }

  private secure(count: number): void {
    const messages = this.unsafe.splice(0, count);
    this.seen = Math.max(0, this.seen - count);
    const written: Message[] = [];
    for (const message of messages) {
      if (message.open === 0 || message.kept !== "memory") continue;
      message.kept = "writing";
      this.journal.add(messageRecord(message), message.record.length + 32);
      for (const entry of message.entries) if (entry.packetId !== 0 && !entry.gone) this.moved.push(entry);
      written.push(message);
    }
    if (written.length > 0) this.journal.whenStored(() => areSafe(written));
  }
}

/** The journal holds them. */
export function areSafe(messages: readonly Message[]): void {
  for (const message of messages) {
    message.kept = "safe";
    tellWaiters(message);
  }
}

function highestOf(tags: readonly number[]): 0 | 1 | 2 {
  let qos: 0 | 1 | 2 = 0;
  for (const tag of tags) if (tagQos(tag) > qos) qos = tagQos(tag);
  return qos;
}

/** For a message of the client itself; undefined when none of its filters wants those. */
function withoutOwn({ tags }: Match): Pick<Match, "qos" | "tags"> | undefined {
  const wanted = tags.filter((tag) => !tagNoLocal(tag));
  return wanted.length === 0 ? undefined : { qos: highestOf(wanted), tags: wanted };
}

/** The record the view stands on, owned. */
export function copyOf(view: BatchView): Buffer {
  return Buffer.from(view.bytes.subarray(view.recordStart, view.recordEnd));
}

function freeId(session: Session): number {
  let id = session.nextPacketId;
  while (session.inflight?.has(id)) id = id + 1 < END_OF_PACKET_IDS ? id + 1 : 1;
  session.nextPacketId = id + 1 < END_OF_PACKET_IDS ? id + 1 : 1;
  return id;
}
