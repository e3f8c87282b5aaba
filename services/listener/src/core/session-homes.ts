/** The homes of sessions that outlive their connections, as this listener talks to them; see ADR 0010. */
import { type Bus, OrderedCallsReader, type Unsubscribe } from "@myelin/bus";
import { BatchView, partitionOf, subjects, session as wire } from "@myelin/contract";
import { AppError, type Clock, type Component } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import type { Identity } from "./admission.js";
import { Gathering } from "./gathering.js";
import { HomeChannel } from "./home-channel.js";
import { KeptCurrent } from "./kept-current.js";
import type {
  HolderLoss,
  IncomingPublish,
  KeptFilter,
  KeptSession,
  Progress,
  SessionHolder,
  SessionHomes,
  SessionRequest,
} from "./session-home.js";

const { ReportKind, SignalKind } = wire;

const REQUEST_MS = 5_000;
/** Longer than a connection that is taken over may take to let go. */
const OPEN_REQUEST_MS = 3_000;
/** A home that moves from one process to another is away for a few seconds at most. */
const OPEN_WITHIN_MS = 8_000;
const ASK_AGAIN_MS = 200;
const DRAIN_MS = 1_000;

const REPORT_OF: Readonly<Record<Progress, wire.ReportKind>> = {
  acknowledged: ReportKind.ACKNOWLEDGED,
  received: ReportKind.RECEIVED,
  completed: ReportKind.COMPLETED,
};

const LOSS_OF: ReadonlyMap<number, HolderLoss> = new Map([
  [SignalKind.TAKEN_OVER, "taken_over"],
  [SignalKind.HOME_LOST, "home_lost"],
  [SignalKind.DELETED, "deleted"],
]);

const NO_FILTERS: readonly KeptFilter[] = [];
const NONE_INCOMING: readonly IncomingPublish[] = [];
const ID_BYTES = 16;

/** A session in the hands of a connection of this listener. */
class Kept implements KeptSession {
  filters: readonly KeptFilter[];
  incoming: readonly IncomingPublish[];
  private isClosed = false;

  constructor(
    private readonly homes: SessionHomeClient,
    readonly holder: SessionHolder,
    readonly channel: HomeChannel,
    readonly epoch: number,
    readonly present: boolean,
    opened: Pick<wire.OpenedSession, "filters" | "incoming" | "incomingIds" | "incomingStored">,
  ) {
    this.filters = opened.filters.length === 0 ? NO_FILTERS : opened.filters;
    this.incoming = incomingOf(opened);
  }

  begin(): void {
    // Taken over by the connection; nothing of it is needed twice.
    this.filters = NO_FILTERS;
    this.incoming = NONE_INCOMING;
    this.report(ReportKind.BEGUN, 0);
  }

  async subscribe(filters: readonly KeptFilter[]): Promise<void> {
    await this.homes.change(this, [...filters], []);
  }

  async unsubscribe(filters: readonly string[]): Promise<readonly boolean[]> {
    return (await this.homes.change(this, [], [...filters])).wasThere;
  }

  progress(packetId: number, progress: Progress): void {
    this.report(REPORT_OF[progress], packetId);
  }

  receiving(packetId: number, id: Uint8Array): void {
    this.report(ReportKind.INCOMING, packetId, id);
  }

  stored(packetId: number): void {
    this.report(ReportKind.STORED, packetId);
  }

  refused(packetId: number): void {
    this.report(ReportKind.REFUSED, packetId);
  }

  forget(packetId: number): void {
    this.report(ReportKind.FORGOTTEN, packetId);
  }

  closed(expirySeconds: number): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.report(ReportKind.CLOSED, expirySeconds);
    this.homes.leave(this);
  }

  private report(kind: wire.ReportKind, value: number, id?: Uint8Array): void {
    if (this.channel.epoch !== this.epoch) return;
    if (!this.channel.report(this.holder.number, kind, value, id)) this.homes.giveUp(this);
  }
}

export interface SessionHomeClientOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Logger;
  readonly partitions: number;
}

/** One per process. */
export class SessionHomeClient implements SessionHomes, Component {
  readonly name = "session-homes";
  private readonly channels: HomeChannel[] = [];
  /** By the number of the connection. */
  private readonly kept = new Map<number, Kept>();
  /** Connections whose home has not answered, and what it has said already of the session that its answer gives them. */
  private readonly opening = new Map<number, HolderLoss | undefined>();
  private readonly reader = new OrderedCallsReader();
  private readonly view = new BatchView();
  private readonly current = new KeptCurrent(this.view);
  /** Nobody waits for discards: those of thousands of clients that connect at once go together. */
  private readonly discards: Gathering;
  private ends: Unsubscribe[] = [];

  constructor(private readonly options: SessionHomeClientOptions) {
    const { bus, clock, log, partitions } = options;
    this.discards = new Gathering(clock, () => {
      for (const channel of this.channels) channel.tellDiscards();
    });
    for (let partition = 0; partition < partitions; partition++) {
      this.channels.push(
        new HomeChannel({ bus, clock, log, partition, onBeat: (beat) => this.onBeat(beat) }),
      );
    }
  }

  /** Sessions that connections of this listener hold. */
  get size(): number {
    return this.kept.size;
  }

  async start(): Promise<void> {
    const { bus } = this.options;
    this.ends = [
      bus.subscribe(subjects.sessionBeat(), (data) => this.onBeat(wire.HomeBeat.decode(data))),
      bus.serve(subjects.sessionDeliveries(bus.instance), (data) => this.onDeliveries(data)),
    ];
  }

  /** What connections have reported is brought to their homes, if those are there. */
  async stop(): Promise<void> {
    for (const end of this.ends.splice(0)) end();
    const { clock } = this.options;
    const until = clock.nowMs() + DRAIN_MS;
    this.discards.clear();
    for (const channel of this.channels) channel.tellDiscards();
    while (this.channels.some(({ idle }) => !idle) && clock.nowMs() < until) await clock.sleep(5);
    for (const channel of this.channels) channel.close();
  }

  async open(request: SessionRequest, holder: SessionHolder): Promise<KeptSession> {
    const { number } = holder;
    this.opening.set(number, undefined);
    try {
      const kept = await this.openAtHome(request, holder);
      const why = this.opening.get(number);
      if (why === undefined) {
        this.kept.set(number, kept);
        return kept;
      }
      // Whoever has taken it over waits to hear that it is let go.
      kept.closed(request.expirySeconds);
      throw new AppError("session.lost", `the session was lost while it was opened: ${why}`);
    } finally {
      this.opening.delete(number);
    }
  }

  private async openAtHome(request: SessionRequest, holder: SessionHolder): Promise<Kept> {
    const { clock } = this.options;
    const { identity, clean, expirySeconds, receiveMaximum, bounds } = request;
    const channel = this.channelOf(identity);
    // A discard that is still to be told would otherwise end the session that is opened here.
    const isDiscarded = channel.takeDiscard(identity.tenant, identity.deviceId);
    const data = wire.HomeRequest.encode({
      request: {
        $case: "open",
        value: {
          holder: this.holderOf(holder),
          tenant: identity.tenant,
          client: identity.deviceId,
          clean: clean || isDiscarded,
          expirySeconds,
          receiveMaximum,
          atUs: clock.wallUs(),
          label: identity.label ?? "",
          bounds: bounds && {
            maxMessages: bounds.maxMessages,
            maxBytes: bounds.maxBytes,
            dropOldest: bounds.whenFull === "oldest",
          },
        },
      },
    }).finish();
    const opened = wire.OpenedSession.decode(await this.ask(channel, data));
    this.sawEpoch(channel, opened.epoch);
    if (opened.epoch < channel.epoch) {
      throw new AppError("request.no_responder", "the home of the session has moved while it was opened");
    }
    return new Kept(this, holder, channel, opened.epoch, opened.present, opened);
  }

  discard({ tenant, deviceId }: Identity): void {
    this.channelOf({ tenant, deviceId }).discard(tenant, deviceId, this.options.clock.wallUs());
    this.discards.add();
  }

  async change(
    { channel, holder, epoch }: Kept,
    added: wire.Filter[],
    removed: string[],
  ): Promise<wire.ChangedFilters> {
    if (channel.epoch !== epoch) throw new AppError("session.lost", "the home of the session is another");
    const data = wire.HomeRequest.encode({
      request: { $case: "change", value: { holder: this.holderOf(holder), added, removed } },
    }).finish();
    const { bus } = this.options;
    return wire.ChangedFilters.decode(
      await bus.request(subjects.sessionHome(channel.partition), data, REQUEST_MS),
    );
  }

  leave(kept: Kept): void {
    if (this.kept.get(kept.holder.number) === kept) this.kept.delete(kept.holder.number);
  }

  /** While nobody answers the home may be on its way from one process to another. */
  private async ask({ partition }: HomeChannel, data: Uint8Array): Promise<Uint8Array> {
    const { bus, clock } = this.options;
    const until = clock.nowMs() + OPEN_WITHIN_MS;
    for (;;) {
      try {
        return await bus.request(subjects.sessionHome(partition), data, OPEN_REQUEST_MS);
      } catch (err) {
        if (!isAway(AppError.from(err)) || clock.nowMs() >= until) throw err;
        await clock.sleep(ASK_AGAIN_MS);
      }
    }
  }

  private onBeat({ partition, epoch }: wire.HomeBeat): void {
    const channel = this.channels[partition];
    if (channel !== undefined) this.sawEpoch(channel, epoch);
  }

  /** Another home knows nothing of our connections: their clients must come again. */
  private sawEpoch(channel: HomeChannel, epoch: number): void {
    if (!channel.sawEpoch(epoch)) return;
    for (const kept of [...this.kept.values()]) {
      if (kept.channel === channel && kept.epoch !== epoch) this.lose(kept, "home_lost");
    }
  }

  /** What its client says can no longer be told: when it comes again, what it acknowledged meanwhile comes again too. */
  giveUp(kept: Kept): void {
    // Not within the packet that said it.
    queueMicrotask(() => {
      if (this.kept.get(kept.holder.number) === kept) this.lose(kept, "home_lost");
    });
  }

  private lose(kept: Kept, why: HolderLoss): void {
    this.leave(kept);
    kept.holder.sessionLost(why);
  }

  private onDeliveries(data: Uint8Array): Uint8Array {
    const { bus, log } = this.options;
    const deliveries = wire.SessionDeliveries.decode(data);
    const channel = this.channels[deliveries.partition];
    if (deliveries.incarnation !== bus.incarnation || channel === undefined) return NOTHING;
    this.sawEpoch(channel, deliveries.epoch);
    if (deliveries.epoch !== channel.epoch) return NOTHING;
    const sender = `${deliveries.partition}\0${deliveries.epoch}\0${deliveries.link}`;
    if (!this.reader.isNew(sender, deliveries.sequence)) return NOTHING;
    try {
      if (deliveries.batch.length > 0) this.deliver(deliveries);
    } catch (err) {
      log.warn({ err }, "a batch of a home cannot be read, the rest of it is left out");
    }
    deliveries.signalConnections.forEach((connection, i) => {
      this.signalled(connection, deliveries.signals[i]!, deliveries.signalValues[i]!);
    });
    return NOTHING;
  }

  private deliver({ batch, recipients, connections, packetIds, flags, tags }: wire.SessionDeliveries): void {
    const { view, current } = this;
    let recipient = 0;
    let tag = 0;
    let envelope = 0;
    view.reset(batch);
    while (view.next()) {
      current.take();
      for (let left = recipients[envelope++] ?? 0; left > 0; left--, recipient++) {
        const flag = flags[recipient]!;
        const end = tag + (flag >>> 3);
        const kept = this.kept.get(connections[recipient]!);
        const qos = (flag & 3) as 0 | 1 | 2;
        const packetId = packetIds[recipient]!;
        const isTaken = kept?.holder.deliverKept({
          message: current,
          tags: tags.slice(tag, end),
          packetId,
          qos,
          dup: (flag & 4) !== 0,
        });
        tag = end;
        // Done with, although the client has not seen it.
        if (isTaken === false && qos > 0) kept!.progress(packetId, "acknowledged");
      }
    }
  }

  private signalled(connection: number, signal: number, packetId: number): void {
    const kept = this.kept.get(connection);
    if (kept === undefined) {
      const why = LOSS_OF.get(signal);
      if (why !== undefined && this.opening.has(connection)) this.opening.set(connection, why);
      return;
    }
    if (signal === SignalKind.PUBREL) kept.holder.sendPubrel(packetId);
    else if (signal === SignalKind.RECORDED) kept.holder.incomingRecorded(packetId);
    else if (signal === SignalKind.PUBCOMP) kept.holder.sendPubcomp(packetId);
    else {
      const why = LOSS_OF.get(signal);
      if (why !== undefined) this.lose(kept, why);
    }
  }

  private channelOf({ tenant, deviceId }: Pick<Identity, "tenant" | "deviceId">): HomeChannel {
    return this.channels[partitionOf(tenant, deviceId, this.options.partitions)]!;
  }

  private holderOf({ number }: SessionHolder): wire.Holder {
    const { instance: listener, incarnation } = this.options.bus;
    return { listener, incarnation, connection: number };
  }
}

const NOTHING = new Uint8Array(0);

function incomingOf({
  incoming,
  incomingIds,
  incomingStored,
}: Pick<wire.OpenedSession, "incoming" | "incomingIds" | "incomingStored">): readonly IncomingPublish[] {
  if (incoming.length === 0) return NONE_INCOMING;
  return incoming.map((packetId, i) => ({
    packetId,
    id: incomingIds.slice(i * ID_BYTES, (i + 1) * ID_BYTES),
    isStored: incomingStored[i] === true,
  }));
}

/** The home may be there in a moment: it moves, or NATS is away. */
function isAway({ code }: AppError): boolean {
  return code === "request.no_responder" || code === "request.timeout" || code === "bus.disconnected";
}
