/** What listeners ask a home and tell it: sessions opened, filters changed, how far clients are, connections gone. */
import { session as wire } from "@myelin/contract";
import { AppError, type Clock } from "@myelin/kernel";
import type { Journal } from "./journal.js";
import { type ListenerLink, linkKey } from "./listener-link.js";
import type { Outgoing } from "./outgoing.js";
import {
  boundsOf,
  endedRecord,
  filtersRecord,
  heldRecord,
  type IncomingStep,
  incomingRecord,
  madeRecord,
  setIncoming,
} from "./records.js";
import type { Session } from "./session.js";
import type { SessionStore } from "./session-store.js";
import type { Sharing } from "./sharing.js";

export interface DeskOptions {
  readonly epoch: number;
  readonly clock: Clock;
  readonly store: SessionStore;
  readonly journal: Journal;
  readonly outgoing: Outgoing;
  readonly sharing: Sharing;
  readonly maxSessions: number;
  readonly maxFilters: number;
  readonly createLink: (listener: string, incarnation: number) => ListenerLink;
}

const NEVER = 0xffff_ffff;
const { IncomingState, ReportKind, SignalKind } = wire;
const ID_BYTES = 16;
/** A listener that does not come back is told of what it has lost for this long. */
const TELL_GONE_MS = 10 * 60_000;
/** How long a connection that is taken over may take to say what it has stored. */
const PART_WITHIN_MS = 2_000;

/** One per home. */
export class Desk {
  /** By `linkKey`. */
  readonly links = new Map<string, ListenerLink>();
  /** How far QoS 2 messages of clients have come, to be recorded with the next batch. */
  private incoming: IncomingStep[] = [];
  /** Sessions whose connection was asked to let go. */
  private readonly parting = new Map<Session, PromiseWithResolvers<void>>();
  /** Who waits for the journal. */
  private readonly waits = new Set<PromiseWithResolvers<void>>();
  private isClosed = false;

  constructor(private readonly options: DeskOptions) {}

  /** Resolves when the journal holds it. @throws AppError `limit.sessions`, `request.no_responder` */
  async open(request: wire.OpenSession): Promise<wire.OpenedSession> {
    const { store, journal, epoch } = this.options;
    const { tenant, client, holder = wire.Holder.create() } = request;
    let session = store.ofClient(tenant, client);
    while (session?.link !== undefined && this.heldBy(holder) !== session) {
      await this.part(session);
      if (this.isClosed) throw gone();
      session = store.ofClient(tenant, client);
    }
    // The same connection asks again where the answer was lost, or was long in coming.
    const isAgain = session !== undefined && this.heldBy(holder) === session;
    if (session !== undefined && !isAgain && (request.clean || this.isExpired(session))) {
      this.end(session);
      session = undefined;
    }
    const present = isAgain ? session!.wasPresent : session !== undefined;
    if (session === undefined) {
      if (store.size >= this.options.maxSessions) {
        throw new AppError("limit.sessions", `this partition holds ${store.size} sessions already`);
      }
      session = store.make(store.nextSession, tenant, client);
      journal.add(madeRecord(session), 64 + client.length);
    }
    session.openedAtUs = request.atUs;
    session.wasPresent = present;
    session.receiveMaximum = Math.max(1, request.receiveMaximum);
    session.label = request.label;
    session.bounds = boundsOf(request.bounds);
    if (!isAgain) this.hold(session, holder);
    store.setOffline(session, 0, request.expirySeconds);
    journal.add(heldRecord(session));
    const filters: wire.Filter[] = [];
    store.forEachFilter(session, (filter, tag) => filters.push({ filter, tag }));
    const begun = [...(session.incoming ?? [])];
    await this.stored();
    return {
      present,
      epoch,
      filters,
      incoming: begun.map(([packetId]) => packetId),
      incomingIds: Buffer.from(begun.map(([, { id }]) => id).join(""), "latin1"),
      incomingStored: begun.map(([, { isStored }]) => isStored),
    };
  }

  /** Resolves when the journal holds it. @throws AppError `session.lost`, `limit.filters` */
  async change({ holder, added, removed }: wire.ChangeFilters): Promise<wire.ChangedFilters> {
    const { store, journal, maxFilters } = this.options;
    const session = this.heldBy(holder ?? wire.Holder.create());
    if (session === undefined) {
      throw new AppError("session.lost", "the connection does not hold the session any more");
    }
    if (store.filtersOf(session) + added.length > maxFilters) {
      throw new AppError("limit.filters", `a session has at most ${maxFilters} filters`);
    }
    for (const { filter, tag } of added) {
      if (!store.addFilter(session, filter, tag)) {
        throw new AppError("limit.filters", "there is no room for more filters, or it is none");
      }
    }
    const wasThere = removed.map((filter) => store.removeFilter(session, filter));
    journal.add(filtersRecord(session, added, removed), 64 * (added.length + removed.length));
    await this.stored();
    return { wasThere };
  }

  /** Takes what a listener reports; of another home's it takes the discards only. */
  report(reports: wire.SessionReports): void {
    const { epoch, store } = this.options;
    for (const { tenant, client, atUs } of reports.discards) {
      const session = store.ofClient(tenant, client);
      if (session === undefined || session.openedAtUs > atUs) continue;
      this.take(session, SignalKind.TAKEN_OVER);
      this.end(session);
    }
    if (reports.epoch !== epoch) return;
    const link = this.links.get(linkKey(reports.listener, reports.incarnation));
    if (link === undefined) return;
    const ids = Buffer.from(reports.ids);
    let at = 0;
    reports.connections.forEach((connection, i) => {
      const kind = reports.kinds[i]! as wire.ReportKind;
      const end = kind === ReportKind.INCOMING ? at + ID_BYTES : at;
      const session = link.sessions.get(connection);
      if (session !== undefined)
        this.reported(session, kind, reports.values[i]!, ids.toString("latin1", at, end));
      at = end;
    });
  }

  /** A listener is silent, or its place was taken by another start of it. */
  listenerGone(link: ListenerLink, isReplaced: boolean): void {
    if (link.goneAtMs === 0) {
      link.goneAtMs = this.options.clock.nowMs();
      // It may be there all the same, cut off for a while: then it must hear what it has lost.
      for (const session of [...link.sessions.values()]) this.take(session, SignalKind.HOME_LOST);
    }
    if (isReplaced) this.drop(link);
  }

  /** Ends sessions whose time is over. Called about once a second. */
  sweep(): void {
    for (const session of this.options.store.all()) if (this.isExpired(session)) this.end(session);
    const longAgoMs = this.options.clock.nowMs() - TELL_GONE_MS;
    for (const link of this.links.values()) {
      if (link.goneAtMs !== 0 && link.goneAtMs < longAgoMs) this.drop(link);
    }
  }

  /** An operator has deleted it; resolves when the journal says so. False: there is none. */
  async delete(tenant: string, client: string): Promise<boolean> {
    const session = this.options.store.ofClient(tenant, client);
    if (session === undefined) return false;
    this.take(session, SignalKind.DELETED);
    this.end(session);
    await this.stored();
    return true;
  }

  /** Adds to the journal what was gathered for it. */
  collect(): void {
    const { incoming } = this;
    if (incoming.length === 0) return;
    this.incoming = [];
    this.options.journal.add(incomingRecord(incoming), incoming.length * (8 + ID_BYTES));
  }

  /** Whoever waits for an answer hears that there is another home. */
  close(): void {
    this.isClosed = true;
    for (const { resolve } of this.parting.values()) resolve();
    for (const { reject } of this.waits) reject(gone());
    for (const link of this.links.values()) link.close();
    this.links.clear();
  }

  private reported(session: Session, kind: wire.ReportKind, value: number, id: string): void {
    const { outgoing, sharing, store } = this.options;
    switch (kind) {
      case ReportKind.BEGUN:
        store.groups.begun(session, true);
        outgoing.resume(session);
        sharing.pull(session);
        return;
      case ReportKind.ACKNOWLEDGED:
      case ReportKind.COMPLETED:
        outgoing.done(session, value);
        return;
      case ReportKind.RECEIVED:
        outgoing.received(session, value);
        return;
      case ReportKind.INCOMING:
        this.step({ session, packetId: value, state: IncomingState.BEGUN, id }, SignalKind.RECORDED);
        return;
      case ReportKind.STORED:
        this.step({ session, packetId: value, state: IncomingState.STORED, id });
        return;
      case ReportKind.REFUSED:
        this.step({ session, packetId: value, state: IncomingState.FORGOTTEN, id });
        return;
      case ReportKind.FORGOTTEN:
        this.step({ session, packetId: value, state: IncomingState.FORGOTTEN, id }, SignalKind.PUBCOMP);
        return;
      case ReportKind.CLOSED:
        this.closed(session, value);
        return;
      default:
    }
  }

  /** A QoS 2 message of the client has come further; with an answer, the connection is told when that is recorded. */
  private step(step: IncomingStep, answer?: wire.SignalKind): void {
    const { session, packetId } = step;
    setIncoming(step);
    this.incoming.push(step);
    if (answer === undefined) {
      this.options.journal.writeSoon();
      return;
    }
    const { connection } = session;
    const link = session.link as ListenerLink | undefined;
    this.options.journal.whenStored(() => {
      if (session.link === link && session.connection === connection)
        link?.signal(connection, answer, packetId);
    });
  }

  private closed(session: Session, expirySeconds: number): void {
    session.expirySeconds = expirySeconds;
    this.letGo(session);
    if (expirySeconds === 0) this.end(session);
  }

  /** Asks the connection to let go, and waits until it has told what was stored of its client's messages, or was silent for too long. */
  private async part(session: Session): Promise<void> {
    const known = this.parting.get(session);
    if (known !== undefined) return known.promise;
    const { clock } = this.options;
    const left = Promise.withResolvers<void>();
    this.parting.set(session, left);
    this.options.store.groups.begun(session, false);
    (session.link as ListenerLink).signal(session.connection, SignalKind.TAKEN_OVER);
    const timer = clock.setTimeout(() => this.letGo(session), PART_WITHIN_MS);
    await left.promise;
    clock.clear(timer);
  }

  /** Ends the hold of a connection on the session and tells it why. */
  private take(session: Session, why: wire.SignalKind): void {
    const { connection } = session;
    const link = session.link as ListenerLink | undefined;
    if (link === undefined) return;
    this.letGo(session);
    link.signal(connection, why);
  }

  private letGo(session: Session): void {
    const { store, journal, clock, outgoing, sharing } = this.options;
    const link = session.link as ListenerLink | undefined;
    if (link === undefined) return;
    link.sessions.delete(session.connection);
    session.link = undefined;
    store.groups.begun(session, false);
    store.setOffline(session, clock.wallMs(), session.expirySeconds);
    journal.add(heldRecord(session));
    this.parting.get(session)?.resolve();
    this.parting.delete(session);
    // Nobody acknowledges them now.
    sharing.left(session);
    if (session.queued > 0) outgoing.secureAll();
  }

  private hold(session: Session, { listener, incarnation, connection }: wire.Holder): void {
    const key = linkKey(listener, incarnation);
    let link = this.links.get(key);
    if (link === undefined) {
      link = this.options.createLink(listener, incarnation);
      this.links.set(key, link);
    }
    link.goneAtMs = 0;
    link.sessions.set(connection, session);
    session.link = link;
    session.connection = connection;
    this.options.store.groups.begun(session, false);
  }

  private heldBy({ listener, incarnation, connection }: wire.Holder): Session | undefined {
    return this.links.get(linkKey(listener, incarnation))?.sessions.get(connection);
  }

  private end(session: Session): void {
    const { store, journal, outgoing, sharing } = this.options;
    sharing.ending(session);
    outgoing.abandon(session);
    journal.add(endedRecord(session));
    store.end(session);
  }

  private isExpired({ link, offlineAtMs, expirySeconds }: Session): boolean {
    if (link !== undefined || expirySeconds === NEVER) return false;
    return this.options.clock.wallMs() >= offlineAtMs + expirySeconds * 1_000;
  }

  /** @throws AppError `request.no_responder` when this home is closed before */
  private async stored(): Promise<void> {
    if (this.isClosed) throw gone();
    const wait = Promise.withResolvers<void>();
    this.waits.add(wait);
    this.options.journal.whenStored(wait.resolve);
    try {
      await wait.promise;
    } finally {
      this.waits.delete(wait);
    }
  }

  private drop(link: ListenerLink): void {
    link.close();
    this.links.delete(link.key);
  }
}

function gone(): AppError {
  return new AppError("request.no_responder", "the session has another home");
}
