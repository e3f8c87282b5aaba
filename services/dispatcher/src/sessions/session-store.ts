/** The sessions of one partition in memory: what the journal says, and what it will say soon. */
import { FilterIndex, filterKey, splitFilterKey } from "@myelin/contract";
import { Deque } from "../core/deque.js";
import { RecentMessages } from "./recent-messages.js";
import { type Entry, type Message, type MessageWaiter, Session, tagQos } from "./session.js";
import { SharedGroups } from "./shared-groups.js";

const SHARE = "$share/";

/** Told which filters sessions want, each once however many want it; as `filterKey` makes them. */
export interface FilterInterest {
  wanted(key: string): void;
  unwanted(key: string): void;
  /** So many members of a group of a shared subscription above QoS 0 are connected, and so many are not. */
  grouped(key: string, present: number, away: number): void;
}

const NOBODY: FilterInterest = {
  wanted: () => undefined,
  unwanted: () => undefined,
  grouped: () => undefined,
};

/** A recipient of a new message. */
export interface Recipient {
  readonly session: Session;
  readonly qos: 1 | 2;
  readonly tags: readonly number[];
}

/** What `addMessage` is given beside the recipients. */
export interface NewMessage {
  readonly number: number;
  readonly record: Buffer;
  readonly id: string;
  readonly expiresAtUs: number;
  readonly group: string;
}

/** Changes nothing but itself: who records a change in the journal is its caller. */
export class SessionStore {
  readonly recent = new RecentMessages();
  /** Messages that somebody needs, by number, oldest first. */
  readonly messages = new Map<number, Message>();
  /** Pairs of message and session that are not done with. */
  entries = 0;
  /** Payloads and heads of these messages, each once. */
  bytes = 0;
  /** Grows with each change of filters: matches of an older one are void. */
  generation = 0;
  nextSession = 1;
  nextMessage = 1;
  readonly index: FilterIndex;
  readonly groups = new SharedGroups();
  interest: FilterInterest = NOBODY;
  private readonly byClient = new Map<string, Session>();
  private readonly byNumber = new Map<number, Session>();
  private readonly slots: (Session | undefined)[] = [];
  private readonly freeSlots: number[] = [];

  /** @param seed see `FilterIndex` */
  constructor(readonly seed: number) {
    this.index = new FilterIndex({ seed });
    this.groups.onGroup = (key, present, away) => this.interest.grouped(key, present, away);
  }

  get size(): number {
    return this.byNumber.size;
  }

  all(): Iterable<Session> {
    return this.byNumber.values();
  }

  ofClient(tenant: string, client: string): Session | undefined {
    return this.byClient.get(clientKey(tenant, client));
  }

  byId(number: number): Session | undefined {
    return this.byNumber.get(number);
  }

  bySlot(slot: number): Session | undefined {
    return this.slots[slot];
  }

  /** A session that is not there yet. */
  make(number: number, tenant: string, client: string): Session {
    const slot = this.freeSlots.pop() ?? this.slots.length;
    const session = new Session(number, slot, tenant, client);
    this.slots[slot] = session;
    this.byClient.set(clientKey(tenant, client), session);
    this.byNumber.set(number, session);
    if (number >= this.nextSession) this.nextSession = number + 1;
    return session;
  }

  /** Everything of it goes. */
  end(session: Session): void {
    if (this.byNumber.get(session.number) !== session) return;
    for (const entry of session.entries?.values() ?? []) this.release(entry);
    session.entries = session.waiting = session.inflight = undefined;
    this.groups.releaseAll(session);
    this.index.removeOwner(session.slot, (key) => this.interest.unwanted(key));
    this.generation++;
    this.byNumber.delete(session.number);
    const key = clientKey(session.tenant, session.client);
    if (this.byClient.get(key) === session) this.byClient.delete(key);
    this.slots[session.slot] = undefined;
    this.freeSlots.push(session.slot);
  }

  /** How many filters it has, of whatever sort. */
  filtersOf(session: Session): number {
    return this.index.countOf(session.slot) + (session.unindexed?.size ?? 0);
  }

  forEachFilter(session: Session, visit: (filter: string, tag: number) => void): void {
    this.index.forEachOf(session.slot, (key, tag) => visit(splitFilterKey(key).filter, tag));
    for (const [filter, tag] of session.unindexed ?? []) visit(filter, tag);
  }

  /** False: it cannot be held, since it is no filter or there is no room. */
  addFilter(session: Session, filter: string, tag: number): boolean {
    if (tagQos(tag) === 0 || filter.startsWith(SHARE)) {
      if (!this.groups.hold(session, filter, tag)) return false;
      this.unindex(session, filter);
      session.unindexed ??= new Map();
      session.unindexed.set(filter, tag);
      return true;
    }
    session.unindexed?.delete(filter);
    const outcome = this.index.add(session.tenant, filter, session.slot, tag);
    if (outcome === "full" || outcome === "malformed") return false;
    if (outcome === "first") this.interest.wanted(filterKey(session.tenant, filter));
    this.generation++;
    return true;
  }

  /** False: it was not there. */
  removeFilter(session: Session, filter: string): boolean {
    const known = session.unindexed?.delete(filter) ?? false;
    this.groups.release(session, filter);
    return this.unindex(session, filter) || known;
  }

  /** No connection holds it any more; or, with 0, one does again. */
  setOffline(session: Session, atMs: number, expirySeconds: number): void {
    session.expirySeconds = expirySeconds;
    session.offlineAtMs = atMs;
  }

  /** A message for at least one session. Keeps `record` and the tags. */
  addMessage(what: NewMessage, recipients: readonly Recipient[], waiter?: MessageWaiter): Message {
    const message: Message = {
      ...what,
      entries: [],
      open: recipients.length,
      kept: "memory",
      waiters: waiter === undefined ? [] : [waiter],
    };
    for (const { session, qos, tags } of recipients) {
      const state = { packetId: 0, released: false, offered: false, gone: false };
      const entry: Entry = { message, session, qos, tags, ...state };
      message.entries.push(entry);
      session.entries ??= new Map();
      session.entries.set(message.number, entry);
      session.waiting ??= new Deque();
      session.waiting.push(entry);
      session.bytes += message.record.length;
    }
    this.entries += recipients.length;
    this.bytes += message.record.length;
    this.messages.set(message.number, message);
    this.recent.add(message.id, message);
    if (message.number >= this.nextMessage) this.nextMessage = message.number + 1;
    return message;
  }

  /** The session needs the message no longer. */
  finish(entry: Entry): void {
    if (entry.gone) return;
    const { session, message } = entry;
    this.release(entry);
    session.entries?.delete(message.number);
    if (entry.packetId !== 0 && session.inflight?.get(entry.packetId) === entry) {
      session.inflight.delete(entry.packetId);
    }
    if (session.entries?.size === 0) session.entries = session.waiting = session.inflight = undefined;
  }

  /** It is on its way to the client, or was when the journal was written. */
  markSent(entry: Entry, packetId: number, released: boolean): void {
    const { session } = entry;
    entry.packetId = packetId;
    entry.released = released;
    session.inflight ??= new Map();
    session.inflight.set(packetId, entry);
  }

  private unindex(session: Session, filter: string): boolean {
    const outcome = this.index.remove(session.tenant, filter, session.slot);
    if (outcome === "absent") return false;
    if (outcome === "last") this.interest.unwanted(filterKey(session.tenant, filter));
    this.generation++;
    return true;
  }

  private release(entry: Entry): void {
    const { message, session } = entry;
    entry.gone = true;
    this.entries--;
    session.bytes -= message.record.length;
    message.open--;
    if (message.open > 0) return;
    this.messages.delete(message.number);
    this.bytes -= message.record.length;
    this.recent.release(message);
    tellWaiters(message);
  }
}

/** The message is in safe hands, or needed no longer. */
export function tellWaiters(message: Message): void {
  for (const waiter of message.waiters.splice(0)) waiter.messageDone();
}

/** A client's key among the sessions. */
export function clientKey(tenant: string, client: string): string {
  return `${tenant}\0${client}`;
}
