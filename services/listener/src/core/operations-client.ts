/** Asks all processes that know of clients and sessions, and makes one answer of theirs. */
import type { Bus } from "@myelin/bus";
import { ops, subjects } from "@myelin/contract";
import { AppError, type Clock, type ErrorCode, type Timer } from "@myelin/kernel";
import { startTrace, type TraceWish } from "./operations-tracing.js";

const DEFAULT_TIMEOUT_MS = 2_000;
/** Where nobody can be sure who lives, silence of this length ends the wait. */
const SILENCE_MS = 300;
export const DEFAULT_LIMIT = 100;
export const MAX_LIMIT = 1_000;

type Ask = NonNullable<ops.Question["question"]>;

/** What came together. */
export interface Answers {
  readonly reports: readonly ops.Report[];
  /** Instances that live and did not answer in time, or could not: what they know is not in the reports. */
  readonly missing: readonly string[];
}

/** One page of a list over all instances. */
export interface Page<T> {
  readonly entries: readonly T[];
  /** Gives the next page; absent: this was the last one. */
  readonly next?: string | undefined;
  readonly missing: readonly string[];
}

/** What is known of one client. */
export interface ClientRecord {
  /** Its connections; one, but for clients that post over HTTP. */
  readonly connections: readonly ops.ClientDetails[];
  /** The latest that any listener remembers; absent while it is connected. */
  readonly lastDisconnect?: ops.LastDisconnect | undefined;
  readonly missing: readonly string[];
}

/** How many went by what an operator asked for. */
export interface Effect {
  readonly count: number;
  readonly missing: readonly string[];
}

/** What of a list question the page decides. */
export type Paged<T> = Omit<T, "after" | "limit"> & {
  readonly cursor?: string | undefined;
  readonly limit?: number | undefined;
};

export class OperationsClient {
  /** @param timeoutMs longest wait for whoever lives and does not answer */
  constructor(
    private readonly bus: Bus,
    private readonly clock: Clock,
    private readonly timeoutMs = DEFAULT_TIMEOUT_MS,
  ) {}

  /** @throws AppError `protocol.malformed` for a cursor that is none, `request.no_responder`, `bus.disconnected` */
  async clients(list: Paged<Partial<ops.ListClients>>): Promise<Page<ops.Client>> {
    const value = ops.ListClients.fromPartial({ ...list, ...pageOf(list) });
    const answers = await this.ask({ $case: "listClients", value });
    return merge(answers, value.limit, ({ clients }) => clients, placeOfClient);
  }

  /** @throws AppError as `clients` */
  async subscriptions(list: Paged<Partial<ops.ListSubscriptions>>): Promise<Page<ops.Subscription>> {
    const value = ops.ListSubscriptions.fromPartial({ ...list, ...pageOf(list) });
    const answers = await this.ask({ $case: "listSubscriptions", value });
    return merge(answers, value.limit, (report) => report.subscriptions, placeOfSubscription);
  }

  /** @throws AppError as `clients` */
  async sessions(list: Paged<Partial<ops.ListSessions>>): Promise<Page<ops.Session>> {
    const value = ops.ListSessions.fromPartial({ ...list, ...pageOf(list) });
    const answers = await this.ask({ $case: "listSessions", value });
    return merge(answers, value.limit, ({ sessions }) => sessions, placeOfSession);
  }

  /** @throws AppError `device.not_connected` when nobody knows it; `request.no_responder`, `bus.disconnected` */
  async inspect(tenant: ops.Tenant | undefined, client: string): Promise<ClientRecord> {
    const { reports, missing } = await this.ask({ $case: "inspectClient", value: { tenant, client } });
    const connections = reports.flatMap(({ details }) => details);
    if (connections.length > 0) return { connections, missing };
    const last = reports
      .flatMap(({ lastDisconnect }) => lastDisconnect ?? [])
      .sort((a, b) => b.atMs - a.atMs)[0];
    if (last === undefined) throw unknown(client, missing);
    return { connections, lastDisconnect: last, missing };
  }

  /** Ends the connections of a client. @throws AppError as `inspect` */
  async disconnect(tenant: ops.Tenant | undefined, client: string, reason: string): Promise<Effect> {
    const value = { tenant, client, reason };
    const { reports, missing } = await this.ask({ $case: "disconnectClient", value });
    const count = reports.reduce((sum, { disconnected }) => sum + disconnected, 0);
    if (count === 0) throw unknown(client, missing);
    return { count, missing };
  }

  /** Ends the session of a client, and with it the connection that holds it. @throws AppError as `inspect` */
  async deleteSession(tenant: ops.Tenant | undefined, client: string): Promise<Effect> {
    const { reports, missing } = await this.ask({ $case: "deleteSession", value: { tenant, client } });
    const count = reports.reduce((sum, { deleted }) => sum + deleted, 0);
    if (count === 0) throw unknown(client, missing);
    return { count, missing };
  }

  /** Shows packets as they pass until the returned function is called, see `startTrace`. */
  trace(wish: TraceWish, onBatch: (batch: ops.TraceBatch) => void): () => void {
    return startTrace(this.bus, this.clock, wish, onBatch);
  }

  /**
   * Resolves when all have answered that any of them knows to live, or after the deadline.
   * @throws AppError `request.no_responder` when nobody answers, `bus.disconnected`; the problem of all when none could answer
   */
  private async ask(question: Ask): Promise<Answers> {
    const { bus, clock, timeoutMs } = this;
    const inbox = bus.newInbox();
    const reports = new Map<string, ops.Report>();
    const { promise, resolve } = Promise.withResolvers<void>();
    let silence: Timer | undefined;
    const end = bus.subscribe(inbox, (data) => {
      // What the server says itself when nobody serves the subject.
      if (data.length === 0) {
        resolve();
        return;
      }
      const report = ops.Report.decode(data);
      reports.set(nameOf(report), report);
      clock.clear(silence);
      // Homes of sessions know of nobody but themselves, and are quicker than a listener that is busy with its clients.
      if (![...reports.values()].some(({ service }) => service === "listener")) return;
      if (absentees(reports).length > 0) return;
      if ([...reports.values()].every(isSettled)) resolve();
      else silence = clock.setTimeout(resolve, SILENCE_MS);
    });
    const timer = clock.setTimeout(resolve, timeoutMs);
    try {
      const asked = ops.Question.encode({ timeoutMs, question }).finish();
      if (!bus.publish(subjects.operations(), asked, inbox)) {
        throw new AppError("bus.disconnected", "NATS is away: nobody can be asked");
      }
      await promise;
    } finally {
      end();
      clock.clear(timer);
      clock.clear(silence);
    }
    return sort(reports);
  }
}

function sort(reports: ReadonlyMap<string, ops.Report>): Answers {
  const all = [...reports.values()];
  const good = all.filter(({ problem }) => problem === undefined);
  if (good.length === 0) {
    const problem = all[0]?.problem;
    if (problem === undefined) throw new AppError("request.no_responder", "no listener answers");
    throw AppError.fromWire(problem);
  }
  const failed = all.filter(({ problem }) => problem !== undefined).map(({ instance }) => instance);
  good.sort((a, b) =>
    a.instance === b.instance ? compare(a.service, b.service) : compare(a.instance, b.instance),
  );
  return { reports: good, missing: [...failed, ...absentees(reports)].sort() };
}

/** Instances that somebody hears of and that have not answered. */
function absentees(reports: ReadonlyMap<string, ops.Report>): string[] {
  const absent = new Map<string, string>();
  for (const { peers } of reports.values()) {
    for (const peer of peers) if (!reports.has(nameOf(peer))) absent.set(nameOf(peer), peer.instance);
  }
  return [...absent.values()];
}

/** It has heard its own heartbeat, and so those of the others: who has just started cannot tell who is missing. */
function isSettled({ service, instance, peers }: ops.Report): boolean {
  return peers.some((peer) => peer.service === service && peer.instance === instance);
}

function nameOf({ service, instance }: ops.Peer): string {
  return `${service}/${instance}`;
}

/** Entries of all reports, in order, up to the limit; behind one that has more nobody's entries are taken. */
function merge<T>(
  { reports, missing }: Answers,
  limit: number,
  entriesOf: (report: ops.Report) => readonly T[],
  placeOf: (entry: T) => ops.Place,
): Page<T> {
  const entries: T[] = [];
  let more = false;
  for (const report of reports) {
    more = report.more;
    const found = entriesOf(report);
    const taken = found.slice(0, limit - entries.length);
    entries.push(...taken);
    more ||= taken.length < found.length;
    if (more) break;
  }
  const last = entries.at(-1);
  return { entries, next: more && last !== undefined ? toCursor(placeOf(last)) : undefined, missing };
}

function placeOfClient({ listener: instance, incarnation, number }: ops.Client): ops.Place {
  return { instance, incarnation, number, part: 0 };
}

function placeOfSubscription({ listener: instance, incarnation, number, part }: ops.Subscription): ops.Place {
  return { instance, incarnation, number, part };
}

function placeOfSession({ instance, incarnation, number }: ops.Session): ops.Place {
  return { instance, incarnation, number, part: 0 };
}

function toCursor(place: ops.Place): string {
  return Buffer.from(ops.Place.encode(place).finish()).toString("base64url");
}

function pageOf(list: Paged<object>): { after?: ops.Place; limit: number } {
  const { cursor } = list;
  const limit = Math.min(Math.max(1, list.limit ?? DEFAULT_LIMIT), MAX_LIMIT);
  if (cursor === undefined || cursor === "") return { limit };
  let after: ops.Place | undefined;
  try {
    after = ops.Place.decode(Buffer.from(cursor, "base64url"));
  } catch {
    // Told below, like one that can be read and says nothing.
  }
  if (after === undefined || after.instance === "") {
    throw new AppError("protocol.malformed", "the cursor is none that a list has given");
  }
  return { after, limit };
}

function unknown(client: string, missing: readonly string[]): AppError {
  const away = missing.length === 0 ? "" : `; ${missing.join(", ")} did not answer`;
  const code: ErrorCode = "device.not_connected";
  return new AppError(code, `no listener knows the client ${client}${away}`);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
