/** From this listener to the home of the sessions of one partition: what clients have done, once and in order. */
import { type Bus, OrderedCalls } from "@myelin/bus";
import { subjects, session as wire } from "@myelin/contract";
import type { Clock } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";

export interface HomeChannelOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly partition: number;
  readonly log: Logger;
  /** Who has answered. */
  readonly onBeat: (beat: wire.HomeBeat) => void;
}

const REQUEST_MS = 2_000;
/** Clients without a session whose earlier one is to be ended; beyond it the newest are left out: their sessions expire. */
const MAX_DISCARDS = 100_000;
const DISCARDS_PER_CALL = 2_000;
/** Reports that wait; some 50 MB of them with identifiers. */
export const MAX_REPORTS = 1_048_576;
/** Two mebibytes at most: a call that is larger than the bus carries would be tried for ever. */
const REPORTS_PER_CALL = 65_536;

/** One per partition. */
export class HomeChannel {
  readonly partition: number;
  /** Of the home at the moment; 0: none was heard of. */
  epoch = 0;
  private connections: number[] = [];
  private kinds: wire.ReportKind[] = [];
  private values: number[] = [];
  private ids: Uint8Array[] = [];
  private readonly discards = new Map<string, wire.DiscardSession>();
  private isUnderWay = false;
  private readonly calls: OrderedCalls;

  constructor(private readonly options: HomeChannelOptions) {
    const { bus, clock, partition } = options;
    this.partition = partition;
    const subject = subjects.sessionReports(partition);
    this.calls = new OrderedCalls({
      clock,
      request: (data) => bus.request(subject, data, REQUEST_MS),
      take: (sequence) => this.take(sequence),
      onDefect: ({ code, stack }) =>
        options.log.error({ code, stack, partition }, "a home of sessions cannot take reports, will retry"),
      answered: (answer) => {
        this.isUnderWay = false;
        options.onBeat(wire.HomeBeat.decode(answer));
      },
    });
  }

  /** Everything was told. */
  get idle(): boolean {
    return !this.isUnderWay && this.kinds.length === 0 && this.discards.size === 0;
  }

  /** True: it is another home than before, and what waits for the one before is given up. */
  sawEpoch(epoch: number): boolean {
    if (epoch <= this.epoch) return false;
    this.epoch = epoch;
    this.connections = [];
    this.kinds = [];
    this.values = [];
    this.ids = [];
    return true;
  }

  /**
   * False: too much waits for a home that does not answer, and this is not told.
   * @param id with INCOMING only; kept
   */
  report(connection: number, kind: wire.ReportKind, value: number, id?: Uint8Array): boolean {
    // How a connection ended is always told: one each.
    if (this.kinds.length >= MAX_REPORTS && kind !== wire.ReportKind.CLOSED) return false;
    if (id !== undefined) this.ids.push(id);
    this.connections.push(connection);
    this.kinds.push(kind);
    this.values.push(value);
    this.calls.kick();
    return true;
  }

  /** The client has connected without a session at this time: told with what else there is to tell, or with `tellDiscards`. */
  discard(tenant: string, client: string, atUs: number): void {
    if (this.discards.size >= MAX_DISCARDS) return;
    this.discards.set(`${tenant}\0${client}`, { tenant, client, atUs });
  }

  tellDiscards(): void {
    if (this.discards.size > 0) this.calls.kick();
  }

  /** True: a discard of the client was to be told, and will not be. */
  takeDiscard(tenant: string, client: string): boolean {
    return this.discards.delete(`${tenant}\0${client}`);
  }

  close(): void {
    this.calls.close();
  }

  private take(sequence: number): Uint8Array | undefined {
    if (this.kinds.length === 0 && this.discards.size === 0) return undefined;
    const { bus } = this.options;
    const { epoch } = this;
    const connections = this.connections.splice(0, REPORTS_PER_CALL);
    const kinds = this.kinds.splice(0, REPORTS_PER_CALL);
    const values = this.values.splice(0, REPORTS_PER_CALL);
    const begun = kinds.filter((kind) => kind === wire.ReportKind.INCOMING).length;
    const ids = Buffer.concat(this.ids.splice(0, begun));
    const discards: wire.DiscardSession[] = [];
    for (const [key, discard] of this.discards) {
      if (discards.length >= DISCARDS_PER_CALL) break;
      discards.push(discard);
      this.discards.delete(key);
    }
    this.isUnderWay = true;
    const { instance: listener, incarnation } = bus;
    return wire.SessionReports.encode({
      listener,
      incarnation,
      epoch,
      sequence,
      connections,
      kinds,
      values,
      discards,
      ids,
    }).finish();
  }
}
