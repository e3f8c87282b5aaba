/** What the journal says, applied to the sessions; and everything there is, as records. */
import { BatchView, envelope, session as wire } from "@myelin/contract";
import type { Entry, Message, QueueLimits, Session } from "./session.js";
import type { Recipient, SessionStore } from "./session-store.js";
import { SharedGroup } from "./shared-groups.js";

type JournalRecord = wire.JournalRecord;

const HEADER = Buffer.from([0x12, 0x00]);
const view = new BatchView();

/** Id and expiry of an envelope that lies in a record. */
export function idAndExpiry(record: Buffer): { readonly id: string; readonly expiresAtUs: number } {
  view.reset(Buffer.concat([HEADER, record]));
  if (!view.next()) return { id: "", expiresAtUs: 0 };
  return { id: view.id().toString("latin1"), expiresAtUs: view.expiresAtUs };
}

/** Bounds of a session's own as its listener has told them. */
export function boundsOf(told: wire.QueueBounds | undefined): QueueLimits | undefined {
  if (told === undefined) return undefined;
  const { maxMessages, maxBytes, dropOldest } = told;
  return { maxMessages, maxBytes, whenFull: dropOldest ? "oldest" : "refuse" };
}

/** When the envelope that lies in a record came in, in Unix microseconds; 0 where it does not say. */
export function ingestTimeOf(record: Buffer): number {
  view.reset(Buffer.concat([HEADER, record]));
  return view.next() ? view.ingestTimeUs : 0;
}

/** QoS that the message in a record was published with. */
export function publishedQos(record: Buffer): number {
  view.reset(Buffer.concat([HEADER, record]));
  return view.next() ? Math.max(1, view.qos) : 1;
}

/** The envelope that lies in a record. */
export function envelopeIn(record: Buffer): envelope.Envelope {
  view.reset(Buffer.concat([HEADER, record]));
  return view.next() ? envelope.Envelope.decode(view.envelopeBytes()) : envelope.Envelope.fromPartial({});
}

/** Applies one record. Records about what is not there any more change nothing. */
export function applyRecord(store: SessionStore, { record }: JournalRecord): void {
  switch (record?.$case) {
    case "made": {
      const { session, tenant, client } = record.value;
      const known = store.ofClient(tenant, client);
      if (known?.number === session) return;
      if (known !== undefined) store.end(known);
      store.make(session, tenant, client);
      return;
    }
    case "ended": {
      const session = store.byId(record.value);
      if (session !== undefined) store.end(session);
      return;
    }
    case "filters": {
      const session = store.byId(record.value.session);
      if (session === undefined) return;
      for (const { filter, tag } of record.value.added) store.addFilter(session, filter, tag);
      for (const filter of record.value.removed) store.removeFilter(session, filter);
      return;
    }
    case "message":
      applyMessage(store, record.value);
      return;
    case "done":
      record.value.sessions.forEach((number, i) => {
        const entry = store.byId(number)?.entries?.get(record.value.messages[i]!);
        if (entry !== undefined) store.finish(entry);
      });
      return;
    case "outgoing":
      record.value.sessions.forEach((number, i) => {
        const entry = store.byId(number)?.entries?.get(record.value.messages[i]!);
        if (entry !== undefined) {
          store.markSent(entry, record.value.packetIds[i]!, record.value.released[i]!);
        }
      });
      return;
    case "incoming":
      applyIncoming(store, record.value);
      return;
    case "held": {
      const { session: number, offlineAtMs, expirySeconds, label, bounds } = record.value;
      const session = store.byId(number);
      if (session === undefined) return;
      session.label = label;
      session.bounds = boundsOf(bounds);
      store.setOffline(session, offlineAtMs, expirySeconds);
      return;
    }
    case "recent": {
      const ids = Buffer.from(record.value.ids).toString("latin1");
      for (let at = 0; at + ID_CHARS <= ids.length; at += ID_CHARS) {
        const id = ids.slice(at, at + ID_CHARS);
        if (!store.recent.has(id)) store.recent.add(id, undefined);
      }
    }
  }
}

const ID_CHARS = 16;

/** How far a QoS 2 message of a client is. */
export interface IncomingStep {
  readonly session: Session;
  readonly packetId: number;
  readonly state: wire.IncomingState;
  /** Of its event, where it begins. */
  readonly id: string;
}

/** Notes how far a QoS 2 message of the client is. */
export function setIncoming({ session, packetId, state, id }: IncomingStep): void {
  if (state === wire.IncomingState.BEGUN) {
    session.incoming ??= new Map();
    session.incoming.set(packetId, { id, isStored: false });
    return;
  }
  const known = session.incoming?.get(packetId);
  if (known === undefined) return;
  if (state === wire.IncomingState.STORED) session.incoming!.set(packetId, { id: known.id, isStored: true });
  else session.incoming!.delete(packetId);
  if (session.incoming!.size === 0) session.incoming = undefined;
}

/** These steps, in order. */
export function incomingRecord(steps: readonly IncomingStep[]): JournalRecord {
  const value = {
    sessions: steps.map(({ session }) => session.number),
    packetIds: steps.map(({ packetId }) => packetId),
    states: steps.map(({ state }) => state),
    ids: Buffer.from(steps.map(({ id }) => id).join(""), "latin1"),
  };
  return { record: { $case: "incoming", value } };
}

function applyIncoming(store: SessionStore, { sessions, packetIds, states, ids }: wire.IncomingRecord): void {
  const all = Buffer.from(ids).toString("latin1");
  let at = 0;
  sessions.forEach((number, i) => {
    const state = states[i]!;
    const end = state === wire.IncomingState.BEGUN ? at + ID_CHARS : at;
    const id = all.slice(at, end);
    at = end;
    const session = store.byId(number);
    if (session !== undefined) setIncoming({ session, packetId: packetIds[i]!, state, id });
  });
}

function* incomingSteps(session: Session): IterableIterator<IncomingStep> {
  for (const [packetId, { id, isStored }] of session.incoming ?? []) {
    yield { session, packetId, state: wire.IncomingState.BEGUN, id };
    if (isStored) yield { session, packetId, state: wire.IncomingState.STORED, id: "" };
  }
}

function applyMessage(store: SessionStore, value: wire.MessageRecord): void {
  if (value.message < store.nextMessage) return;
  const recipients: Recipient[] = [];
  let at = 0;
  value.sessions.forEach((number, i) => {
    const flags = value.flags[i]!;
    const tags = value.tags.slice(at, at + (flags >>> 3));
    at += flags >>> 3;
    const session = store.byId(number);
    if (session !== undefined) recipients.push({ session, qos: (flags & 3) === 2 ? 2 : 1, tags });
  });
  store.nextMessage = value.message + 1;
  const record = Buffer.from(value.record);
  const { id: own, expiresAtUs } = idAndExpiry(record);
  const { group } = value;
  const id = group === "" ? own : new SharedGroup(group).idOf(own);
  if (recipients.length === 0) {
    store.recent.add(id, undefined);
    return;
  }
  const message = store.addMessage({ number: value.message, record, id, expiresAtUs, group }, recipients);
  message.kept = "safe";
}

/** The record of a message for those that still need it. */
export function messageRecord(message: Message): JournalRecord {
  const sessions: number[] = [];
  const flags: number[] = [];
  const tags: number[] = [];
  for (const entry of message.entries) {
    if (entry.gone) continue;
    sessions.push(entry.session.number);
    flags.push(entry.qos + entry.tags.length * 8);
    for (const tag of entry.tags) tags.push(tag);
  }
  const value = {
    message: message.number,
    record: message.record,
    sessions,
    flags,
    tags,
    group: message.group,
  };
  return { record: { $case: "message", value } };
}

/** How far these entries are on their way. */
export function outgoingRecord(entries: readonly Entry[]): JournalRecord {
  return {
    record: {
      $case: "outgoing",
      value: {
        sessions: entries.map(({ session }) => session.number),
        messages: entries.map(({ message }) => message.number),
        packetIds: entries.map(({ packetId }) => packetId),
        released: entries.map(({ released }) => released),
      },
    },
  };
}

export function madeRecord({ number, tenant, client }: Session): JournalRecord {
  return { record: { $case: "made", value: { session: number, tenant, client } } };
}

export function endedRecord({ number }: Session): JournalRecord {
  return { record: { $case: "ended", value: number } };
}

export function heldRecord({
  number: session,
  offlineAtMs,
  expirySeconds,
  label,
  bounds: own,
}: Session): JournalRecord {
  const bounds = own && {
    maxMessages: own.maxMessages,
    maxBytes: own.maxBytes,
    dropOldest: own.whenFull === "oldest",
  };
  return { record: { $case: "held", value: { session, offlineAtMs, expirySeconds, label, bounds } } };
}

export function filtersRecord(
  { number }: Session,
  added: readonly wire.Filter[],
  removed: readonly string[],
): JournalRecord {
  return {
    record: { $case: "filters", value: { session: number, added: [...added], removed: [...removed] } },
  };
}

/** Everything there is, in an order in which it can be applied; messages oldest first. */
export function* snapshotOf(store: SessionStore): IterableIterator<JournalRecord> {
  for (const session of store.all()) {
    yield madeRecord(session);
    const filters: wire.Filter[] = [];
    store.forEachFilter(session, (filter, tag) => filters.push({ filter, tag }));
    if (filters.length > 0) yield filtersRecord(session, filters, []);
    yield heldRecord(session);
    if (session.incoming !== undefined) yield incomingRecord([...incomingSteps(session)]);
  }
  for (const message of store.messages.values()) yield messageRecord(message);
  for (const session of store.all()) {
    if (session.inflight !== undefined) yield outgoingRecord([...session.inflight.values()]);
  }
  let ids: string[] = [];
  for (const id of store.recent.ids()) {
    if (ids.push(id) < 4096) continue;
    yield recentRecord(ids);
    ids = [];
  }
  if (ids.length > 0) yield recentRecord(ids);
}

function recentRecord(ids: readonly string[]): JournalRecord {
  return { record: { $case: "recent", value: { ids: Buffer.from(ids.join(""), "latin1") } } };
}
