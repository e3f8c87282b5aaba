/** The home of the MQTT sessions of one partition, while this process owns it. */
import { OrderedCallsReader } from "@myelin/bus";
import { BATCH_FLAGS, BatchView, subjects, tryParseGroupLinkName, session as wire } from "@myelin/contract";
import { AppError, type Timer } from "@myelin/kernel";
import type { Account, Ledger } from "../core/ledger.js";
import type { DispatcherPorts, Ownership, Release } from "../core/ports.js";
import { Desk } from "./desk.js";
import { Handback } from "./handback.js";
import { Intake } from "./intake.js";
import { HomeInterest } from "./interest.js";
import { Journal, type JournalPort, JournalReplay } from "./journal.js";
import { ListenerLink, linkKey } from "./listener-link.js";
import { areSafe, Outgoing, type SessionLimits } from "./outgoing.js";
import { heldRecord } from "./records.js";
import type { FilterInterest, SessionStore } from "./session-store.js";
import { Sharing } from "./sharing.js";

export interface SessionHomeOptions {
  readonly ownership: Ownership;
  readonly ports: DispatcherPorts;
  readonly journal: JournalPort;
  readonly ledger: Ledger;
  readonly limits: SessionLimits & { readonly maxSessions: number; readonly maxFilters: number };
  /** See `FilterIndex`. */
  readonly seed: number;
  /** The incarnation of a listener that runs; undefined: it does not. */
  readonly incarnationOf: (listener: string) => number | undefined;
  /** A member of a group of a shared subscription is connected elsewhere. */
  readonly isPresentBeside: (key: string) => boolean;
  /** The journal is somebody else's now. */
  readonly onFenced: () => void;
}

/** What is in memory only is written down within two of these. */
const TICK_MS = 25;
const LAZY_MS = 50;
const SECOND_MS = 1_000;
const REQUEST_MS = 2_000;
/** A message that is needed costs about this beside its bytes, and so do sessions. */
const SESSION_BYTES = 200;

/** Started when the lease was taken, closed before it is given up. */
export class SessionHome {
  readonly partition: number;
  readonly epoch: number;
  private readonly view = new BatchView();
  private readonly intake: Intake;
  private readonly reader = new OrderedCallsReader();
  private readonly releases: Release[] = [];
  private replay: JournalReplay | undefined;
  private journal: Journal | undefined;
  private outgoing: Outgoing | undefined;
  private deskOf: Desk | undefined;
  private interest: HomeInterest | undefined;
  private sharing: Sharing | undefined;
  private handback: Handback | undefined;
  private ticking: Timer | undefined;
  private beating: Timer | undefined;
  private unhold: (() => void) | undefined;
  private links = 0;
  private isClosed = false;

  constructor(private readonly options: SessionHomeOptions) {
    const { ownership, ports } = options;
    this.partition = ownership.partition;
    this.epoch = ownership.epoch;
    this.intake = new Intake(String(this.epoch), (subject, data) => void ports.publish(subject, data));
  }

  /** Sessions there are, and messages that wait for them. */
  get figures(): { readonly sessions: number; readonly queued: number; readonly appends: number } {
    const store = this.replay?.store;
    return {
      sessions: store?.size ?? 0,
      queued: store?.entries ?? 0,
      appends: this.journal?.appends ?? 0,
    };
  }

  get desk(): Desk | undefined {
    return this.deskOf;
  }

  /** Undefined until the journal is read, and when another home has taken over. */
  get store(): SessionStore | undefined {
    return this.deskOf === undefined || this.isClosed ? undefined : this.replay?.store;
  }

  /** Resolves when the journal is read, is this home's alone, and its sessions are served. */
  async start(): Promise<void> {
    const { ports, journal: port, seed } = this.options;
    const replay = new JournalReplay(port, ports.log, seed);
    this.replay = replay;
    const journal = await this.takeJournal(replay);
    if (journal === undefined) return;
    this.open(replay, journal);
  }

  /** Tells all dispatchers all its filters. */
  announce(): void {
    this.interest?.replay();
    this.interest?.beat();
  }

  /** Members of a group of a shared subscription have come or gone. */
  groupChanged(key: string): void {
    this.sharing?.changed(key);
  }

  listenerChanged(listener: string): void {
    const { deskOf: desk } = this;
    if (desk === undefined) return;
    const incarnation = this.options.incarnationOf(listener);
    for (const link of [...desk.links.values()]) {
      if (link.listener !== listener || link.incarnation === incarnation) continue;
      desk.listenerGone(link, incarnation !== undefined);
    }
  }

  /** Takes nothing more, and has everything written that is in memory only, within a deadline. */
  async settle(deadlineMs: number): Promise<void> {
    const { clock } = this.options.ports;
    const { journal, outgoing } = this;
    for (const release of this.releases.splice(0)) release();
    if (journal === undefined || outgoing === undefined) return;
    outgoing.secureAll();
    const until = clock.nowMs() + deadlineMs;
    journal.whenStored(() => undefined);
    while (!journal.idle && clock.nowMs() < until && !this.isClosed) await clock.sleep(5);
  }

  /** Everything ends; what was not written comes again from its routers. Safe twice. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    const { clock } = this.options.ports;
    clock.clear(this.ticking);
    clock.clear(this.beating);
    for (const release of this.releases.splice(0)) release();
    this.interest?.close();
    this.handback?.close();
    this.sharing?.close();
    this.journal?.close();
    this.deskOf?.close();
    const store = this.replay?.store;
    if (store !== undefined) this.account("event").drop("requeued", store.entries);
    this.unhold?.();
  }

  /** Reads, and writes down that this epoch has begun; again if the owner before has written meanwhile. */
  private async takeJournal(replay: JournalReplay): Promise<Journal | undefined> {
    const { ports, journal: port } = this.options;
    while (!this.isClosed) {
      await replay.readOn(() => this.isClosed);
      const journal = new Journal(
        {
          port,
          epoch: this.epoch,
          clock: ports.clock,
          log: ports.log,
          lazyMs: LAZY_MS,
          collect: () => this.collect(),
          onFenced: () => this.fenced(),
        },
        { sequence: replay.sequence, number: replay.number, bytes: replay.bytes },
      );
      try {
        await journal.begin();
        return journal;
      } catch (err) {
        if (!AppError.is(err) || err.code !== "bus.conflict") throw err;
      }
    }
    return undefined;
  }

  private open({ store }: JournalReplay, journal: Journal): void {
    const { ports, limits } = this.options;
    const { clock } = ports;
    const accounts = { telemetry: this.account("telemetry"), event: this.account("event") };
    accounts.event.received += store.entries;
    this.unhold = accounts.event.hold(
      () => (this.isClosed ? 0 : store.entries) + (this.sharing?.inHand ?? 0),
    );
    const outgoing = new Outgoing({
      store,
      clock,
      limits,
      accounts,
      onUnsafe: () => {
        this.ticking ??= clock.setTimeout(() => this.tick(), TICK_MS);
      },
      onIdle: (session) => this.sharing?.pull(session),
    });
    outgoing.journal = journal;
    this.journal = journal;
    this.outgoing = outgoing;
    const sharing = this.openSharing(store, outgoing, accounts);
    const interest = new HomeInterest({
      partition: this.partition,
      epoch: this.epoch,
      dispatcher: ports.instance,
      publish: (subject, data) => ports.publish(subject, data),
      keys: () => store.index.keys(),
      groups: () => store.groups.all(),
    });
    this.interest = interest;
    store.interest = this.interestOf(store, journal, interest);
    const desk = new Desk({
      epoch: this.epoch,
      clock,
      store,
      journal,
      outgoing,
      sharing,
      maxSessions: limits.maxSessions,
      maxFilters: limits.maxFilters,
      createLink: (listener, incarnation) => this.createLink(listener, incarnation),
    });
    this.deskOf = desk;
    // Their connections had another home, which is no more.
    for (const session of store.all()) {
      if (session.offlineAtMs !== 0) continue;
      store.setOffline(session, clock.wallMs(), session.expirySeconds);
      journal.add(heldRecord(session));
    }
    this.releases.push(
      ports.serve(subjects.sessionHome(this.partition), (data) => this.answer(data)),
      ports.serve(subjects.sessionReports(this.partition), async (data) => this.reported(data)),
      ports.subscribe(subjects.sessionInterestSync(this.partition), () => this.announce()),
      ports.subscribe(subjects.sessionDeliver(this.partition), (data) => this.onBatch(data), { only: true }),
    );
    sharing.recall();
    for (const { key } of store.groups.all()) this.handback?.serve(key, true);
    this.beating = clock.setInterval(() => this.second(), SECOND_MS).unref();
    this.announce();
  }

  private openSharing(
    store: SessionStore,
    outgoing: Outgoing,
    accounts: { readonly telemetry: Account; readonly event: Account },
  ): Sharing {
    const { ports, isPresentBeside } = this.options;
    const handback = new Handback({
      ports,
      check: (key) => {
        const group = store.groups.get(key);
        const isElsewhere = group?.present === 0 && isPresentBeside(key);
        if (group === undefined || isElsewhere || !outgoing.hasRoom || !this.options.ownership.held) {
          throw new AppError("target.unavailable", "there is no member of the group here who could take it");
        }
      },
      adopt: (key, view) => {
        const group = store.groups.get(key);
        if (group !== undefined) sharing.adopt(view, group);
      },
      stored: () => {
        outgoing.secureAll();
        return new Promise((resolve) => this.journal?.whenStored(resolve));
      },
    });
    const sharing = new Sharing({
      store,
      outgoing,
      accounts,
      isPresentBeside,
      handBack: (key, envelopes) => handback.give(key, envelopes),
    });
    this.handback = handback;
    this.sharing = sharing;
    return sharing;
  }

  /**
   * That a group has no member here is told when what its last one had is recorded, and acknowledged to the routers: they give to others what
   * they have not heard of.
   */
  private interestOf(store: SessionStore, journal: Journal, interest: HomeInterest): FilterInterest {
    const tell = (key: string): void => {
      const group = store.groups.get(key);
      this.handback?.serve(key, group !== undefined);
      interest.grouped(key, group?.present ?? 0, group === undefined ? 0 : group.size - group.present);
    };
    return {
      wanted: (key) => interest.wanted(key),
      unwanted: (key) => interest.unwanted(key),
      grouped: (key, present, away) => {
        if (present + away > 0) tell(key);
        else journal.whenStored(() => setImmediate(() => tell(key)));
      },
    };
  }

  private async answer(data: Uint8Array): Promise<Uint8Array> {
    const { request } = wire.HomeRequest.decode(data);
    const desk = this.deskOf;
    if (desk === undefined || !this.options.ownership.held || this.isClosed) {
      throw new AppError("request.no_responder", `partition ${this.partition} has another home`);
    }
    switch (request?.$case) {
      case "open":
        return wire.OpenedSession.encode(await desk.open(request.value)).finish();
      case "change":
        return wire.ChangedFilters.encode(await desk.change(request.value)).finish();
      default:
        throw new AppError("internal.invalid_argument", "a request to a home that says nothing");
    }
  }

  /** Answers with who is the home, which may not be the one that was meant. */
  private reported(data: Uint8Array): Uint8Array {
    const { interest, deskOf: desk } = this;
    if (interest === undefined || desk === undefined || this.isClosed || !this.options.ownership.held) {
      throw new AppError("request.no_responder", `partition ${this.partition} has another home`);
    }
    const reports = wire.SessionReports.decode(data);
    if (this.reader.isNew(linkKey(reports.listener, reports.incarnation), reports.sequence))
      desk.report(reports);
    return interest.who();
  }

  private onBatch(data: Uint8Array): void {
    const { view, outgoing } = this;
    const { ports, ownership } = this.options;
    if (outgoing === undefined || !ownership.held) return;
    try {
      view.reset(data);
    } catch (err) {
      ports.log.warn({ err, partition: this.partition }, "a batch for sessions cannot be read");
      return;
    }
    const key = tryParseGroupLinkName(view.hop.target);
    const group = key === undefined ? undefined : this.store?.groups.get(key);
    // The last member has gone, which the router hears before it misses our acknowledgement: it gives the batch to somebody else.
    if (key !== undefined && group === undefined) return;
    const arrival = this.intake.accept(view, outgoing.hasRoom);
    if (arrival === "refused") return;
    const { share } = arrival;
    const again = (view.hop.flags & BATCH_FLAGS.redelivered) !== 0;
    try {
      while (view.next()) {
        if (group === undefined) outgoing.take(view, share, again);
        else this.sharing?.take(view, group, share, again);
      }
    } catch (err) {
      ports.log.error({ err, partition: this.partition }, "the rest of a batch for sessions is left out");
    }
    share?.messageDone();
  }

  private tick(): void {
    const { outgoing } = this;
    this.ticking = undefined;
    if (outgoing === undefined || this.isClosed) return;
    outgoing.tick();
    if (outgoing.isUnsafe) this.ticking = this.options.ports.clock.setTimeout(() => this.tick(), TICK_MS);
  }

  private second(): void {
    const { journal, outgoing, replay } = this;
    if (journal === undefined || outgoing === undefined || replay === undefined || this.isClosed) return;
    this.interest?.beat();
    this.deskOf?.sweep();
    this.sharing?.tick();
    const { store } = replay;
    if (!journal.shouldCompact(store.bytes + store.size * SESSION_BYTES)) return;
    const unsafe = outgoing.takeUnsafe();
    this.collect();
    journal.compact(store, () => areSafe(unsafe));
  }

  private collect(): void {
    this.outgoing?.collect();
    this.deskOf?.collect();
  }

  private createLink(listener: string, incarnation: number): ListenerLink {
    const { ports } = this.options;
    const subject = subjects.sessionDeliveries(listener);
    const { partition, epoch } = this;
    const request = (data: Uint8Array) => ports.request(subject, data, REQUEST_MS);
    const number = ++this.links;
    return new ListenerLink({
      listener,
      incarnation,
      partition,
      epoch,
      number,
      clock: ports.clock,
      log: ports.log,
      request,
    });
  }

  private fenced(): void {
    this.close();
    this.options.onFenced();
  }

  private account(lane: "telemetry" | "event") {
    return this.options.ledger.account("sessions", lane);
  }
}
