/** A home without NATS: what it sends to connections, and what it gives to members of groups elsewhere, is written down. */
import { BatchView, envelope, Lane, session as wire } from "@myelin/contract";
import { AppError, FakeClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { Ledger } from "../../src/core/ledger.js";
import { Desk } from "../../src/sessions/desk.js";
import { Journal, JournalReplay } from "../../src/sessions/journal.js";
import { ListenerLink } from "../../src/sessions/listener-link.js";
import { Outgoing } from "../../src/sessions/outgoing.js";
import type { SessionStore } from "../../src/sessions/session-store.js";
import { Sharing } from "../../src/sessions/sharing.js";
import { MemoryLog } from "./memory-log.js";

const { ReportKind, SignalKind } = wire;
export const NEVER = 0xffff_ffff;
export const turns = async (): Promise<void> => {
  for (let i = 0; i < 12; i++) await new Promise<void>((resolve) => setImmediate(resolve));
};
const limits = {
  maxMessages: 10,
  maxBytes: 1e6,
  whenFull: "refuse",
  maxPartitionBytes: 1e6,
  window: 10,
  byLabel: new Map(),
} as const;

/** A message as a connection gets it. */
export interface Sent {
  readonly connection: number;
  readonly text: string;
  readonly packetId: number;
  readonly qos: number;
  readonly dup: boolean;
}

/** A home, beginning with what the journal holds. */
export class TestHome {
  readonly clock = new FakeClock();
  readonly signals: string[] = [];
  readonly sent: Sent[] = [];
  /** Texts that were given to members elsewhere. */
  readonly given: string[] = [];
  /** Groups with somebody connected elsewhere, who takes what is given, or does not. */
  readonly elsewhere = new Set<string>();
  takesElsewhere = true;
  /** What is offered comes back to this home, so often. */
  comesBack = 0;
  readonly journal: Journal;
  readonly desk: Desk;
  readonly sharing: Sharing;
  readonly ledger = new Ledger();

  private constructor(
    readonly log: MemoryLog,
    readonly replay: JournalReplay,
    readonly epoch: number,
  ) {
    const { clock, ledger } = this;
    const accounts = {
      telemetry: ledger.account("sessions", "telemetry"),
      event: ledger.account("sessions", "event"),
    };
    const outgoing = new Outgoing({
      store: replay.store,
      clock,
      limits,
      accounts,
      onUnsafe: () => undefined,
      onIdle: (session) => this.sharing.pull(session),
    });
    this.sharing = new Sharing({
      store: replay.store,
      outgoing,
      accounts,
      isPresentBeside: (key) => this.elsewhere.has(key),
      handBack: async (key, envelopes) => {
        await Promise.resolve();
        for (let i = 0; i < this.comesBack; i++) this.adopt(key, envelopes);
        if (this.comesBack > 0) return;
        if (!this.takesElsewhere) throw new AppError("request.no_responder", "nobody is there");
        this.given.push(...envelopes.map(({ payload }) => Buffer.from(payload).toString()));
      },
    });
    this.journal = new Journal(
      {
        port: log,
        epoch,
        clock,
        log: silentLogger,
        lazyMs: 50,
        collect: () => {
          outgoing.collect();
          this.desk.collect();
        },
        onFenced: () => undefined,
      },
      replay,
    );
    outgoing.journal = this.journal;
    this.desk = new Desk({
      epoch,
      clock,
      store: replay.store,
      journal: this.journal,
      outgoing,
      sharing: this.sharing,
      maxSessions: 10,
      maxFilters: 10,
      createLink: (listener, incarnation) =>
        new ListenerLink({
          listener,
          incarnation,
          partition: 0,
          epoch,
          number: 1,
          clock,
          log: silentLogger,
          request: async (data) => {
            this.delivered(wire.SessionDeliveries.decode(data));
            return new Uint8Array(0);
          },
        }),
    });
    for (const session of replay.store.all()) replay.store.setOffline(session, clock.wallMs(), NEVER);
    this.sharing.recall();
  }

  static async begin(log = new MemoryLog(), epoch = 1): Promise<TestHome> {
    const replay = new JournalReplay(log, silentLogger, 7);
    await replay.readOn(() => false);
    const home = new TestHome(log, replay, epoch);
    await home.journal.begin();
    return home;
  }

  open(connection: number, client = "c", bounds?: wire.QueueBounds): Promise<wire.OpenedSession> {
    return this.desk.open(
      wire.OpenSession.create({
        holder: holderOf(connection),
        tenant: "t",
        client,
        expirySeconds: NEVER,
        receiveMaximum: 10,
        atUs: 1,
        bounds,
      }),
    );
  }

  get store(): SessionStore {
    return this.replay.store;
  }

  /** Opens the session of a client, gives it the filter where there is one, and begins. */
  async begun(connection: number, client: string, filter?: string, qos = 2): Promise<void> {
    await this.open(connection, client);
    if (filter !== undefined) {
      const added = [{ filter, tag: qos }];
      await this.desk.change({ holder: holderOf(connection), added, removed: [] });
    }
    this.report(connection, [ReportKind.BEGUN, 0]);
    await turns();
  }

  async lose(connection: number): Promise<void> {
    this.report(connection, [ReportKind.CLOSED, NEVER]);
    await turns();
  }

  report(connection: number, ...kinds: [kind: wire.ReportKind, value: number, id?: string][]): void {
    this.desk.report(
      wire.SessionReports.create({
        listener: "l",
        incarnation: 1,
        epoch: this.epoch,
        connections: kinds.map(() => connection),
        kinds: kinds.map(([kind]) => kind),
        values: kinds.map(([, value]) => value),
        ids: Buffer.from(kinds.map(([, , id = ""]) => id).join("")),
      }),
    );
  }

  /** Messages for a group come from a router. */
  async share(key: string, texts: readonly string[], qos: 0 | 1 | 2 = 1): Promise<void> {
    const group = this.replay.store.groups.get(key)!;
    const view = new BatchView().reset(batchOf(texts, qos));
    while (view.next()) this.sharing.take(view, group, undefined, false);
    await turns();
  }

  private adopt(key: string, envelopes: envelope.Envelope[]): void {
    const group = this.replay.store.groups.get(key)!;
    const bytes = envelope.Batch.encode(envelope.Batch.fromPartial({ envelopes })).finish();
    const view = new BatchView().reset(Buffer.concat([Buffer.from([0x12, 0x00]), bytes]));
    while (view.next()) this.sharing.adopt(view, group);
  }

  private delivered(deliveries: wire.SessionDeliveries): void {
    const { signals, signalConnections, signalValues, connections, packetIds, flags, recipients } =
      deliveries;
    let at = 0;
    if (deliveries.batch.length > 0) {
      envelope.Batch.decode(deliveries.batch).envelopes.forEach(({ payload }, i) => {
        for (let left = recipients[i]!; left > 0; left--, at++) {
          this.sent.push({
            connection: connections[at]!,
            text: Buffer.from(payload).toString(),
            packetId: packetIds[at]!,
            qos: flags[at]! & 3,
            dup: (flags[at]! & 4) !== 0,
          });
        }
      });
    }
    signals.forEach((signal, i) => {
      const name = Object.entries(SignalKind).find(([, value]) => value === signal)?.[0];
      this.signals.push(`${signalConnections[i]} ${name} ${signalValues[i]}`);
    });
  }
}

export function holderOf(connection: number): wire.Holder {
  return { listener: "l", incarnation: 1, connection };
}

let ids = 0;

function batchOf(texts: readonly string[], qos: number): Buffer {
  const lane = qos === 0 ? Lane.TELEMETRY : Lane.EVENT;
  const envelopes = texts.map((text) => ({
    id: Buffer.from(String(ids++).padStart(16, "0")),
    tenant: "t",
    deviceId: "d",
    path: "a",
    qos,
    payload: Buffer.from(text),
  }));
  const batch = envelope.Batch.fromPartial({ hop: { lane, count: texts.length }, envelopes });
  return Buffer.from(envelope.Batch.encode(batch).finish());
}
