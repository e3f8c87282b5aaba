/** Answers what operators ask, for the clients of this listener. */
import type { Bus, Liveness, Unsubscribe } from "@myelin/bus";
import { globToRegExp, ops, subjects, topicMatches } from "@myelin/contract";
import { AppError, type Clock, type Component } from "@myelin/kernel";
import type { Connection } from "./connection.js";
import type { ConnectionManager } from "./connection-manager.js";
import {
  clientOf,
  detailsOf,
  eachFilter,
  type FilterTable,
  NO_OPTIONS,
  type Teller,
} from "./operations-facts.js";
import { LowestNumbers, scanConnections } from "./operations-scan.js";
import { plainFilter } from "./shared-groups.js";

const MAX_ENTRIES = 1_000;
/** A report stays far below what NATS takes; filters may be long. */
const MAX_REPORT_BYTES = 400_000;
/** Questions that wait for their turn; each walks over all connections. */
const MAX_WAITING = 16;
const EMPTY_REPORT = ops.Report.fromPartial({});

export interface OperationsServerOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly connections: ConnectionManager;
  readonly table: FilterTable;
  /** The live instances of each service that serves questions. */
  readonly live: Readonly<Record<string, Pick<Liveness, "instances">>>;
}

/** What a handler found. */
type Findings = Partial<ops.Report>;

/** One question at a time, so that operators cannot keep the messages of devices waiting. */
export class OperationsServer implements Component {
  readonly name = "operations";
  private readonly teller: Teller;
  private end: Unsubscribe | undefined;
  private last: Promise<unknown> = Promise.resolve();
  private waiting = 0;

  constructor(private readonly options: OperationsServerOptions) {
    const { instance, incarnation } = options.bus;
    this.teller = { instance, incarnation };
  }

  async start(): Promise<void> {
    this.end = this.options.bus.serve(subjects.operations(), (data) => this.answer(data));
  }

  async stop(): Promise<void> {
    this.end?.();
    this.end = undefined;
  }

  /** Never rejects: what went wrong stands in the report. */
  private async answer(data: Uint8Array): Promise<Uint8Array> {
    let findings: Findings;
    try {
      findings = await this.inTurn(ops.Question.decode(data));
    } catch (thrown) {
      const { code, message, retryable } = AppError.from(thrown).toWire();
      findings = { problem: { code, message, retryable } };
    }
    const report = { ...EMPTY_REPORT, ...findings, service: "listener", ...this.teller, peers: this.peers() };
    return ops.Report.encode(report).finish();
  }

  private peers(): ops.Peer[] {
    return Object.entries(this.options.live).flatMap(([service, { instances }]) =>
      [...instances.values()]
        .filter(({ draining }) => !draining)
        .map(({ instance }) => ({ service, instance })),
    );
  }

  private async inTurn(question: ops.Question): Promise<Findings> {
    const { clock } = this.options;
    const deadlineMs = clock.nowMs() + question.timeoutMs;
    if (this.waiting >= MAX_WAITING) throw new AppError("queue.full", "too many questions of operators wait");
    this.waiting += 1;
    const turn = this.last;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.last = promise;
    try {
      await turn;
      if (clock.nowMs() > deadlineMs) throw new AppError("request.timeout", "nobody waits for the answer");
      return await this.handle(question);
    } finally {
      this.waiting -= 1;
      resolve();
    }
  }

  private async handle({ question }: ops.Question): Promise<Findings> {
    switch (question?.$case) {
      case "listClients":
        return await this.listClients(question.value);
      case "inspectClient":
        return await this.inspect(question.value);
      case "disconnectClient":
        return await this.disconnect(question.value);
      case "listSubscriptions":
        return await this.listSubscriptions(question.value);
      case "listSessions":
        return await this.listSessions(question.value);
      case "deleteSession":
        return await this.deleteSession(question.value);
      default:
        throw new AppError("protocol.unsupported", "a question that this version does not know");
    }
  }

  private async listClients(list: ops.ListClients): Promise<Findings> {
    const { listeners, after } = list;
    if (listeners.length > 0 && !listeners.includes(this.teller.instance)) return {};
    const isWanted = wish(list);
    const from = this.beginning(after);
    const { picked, more } = await this.pick(list.limit, (c) => c.number > from && isWanted(c));
    return { clients: picked.map((c) => clientOf(c, this.teller)), more };
  }

  private async inspect({ tenant, client }: ops.InspectClient): Promise<Findings> {
    const { connections, table } = this.options;
    const found = await this.find(tenant, client);
    if (found.length > 0) return { details: found.map((c) => detailsOf(c, table, this.teller)) };
    const last = connections.disconnects.get(tenant?.name ?? "", client);
    if (last === undefined) return {};
    return { lastDisconnect: { ...last, listener: this.teller.instance } };
  }

  private async disconnect({ tenant, client, reason }: ops.DisconnectClient): Promise<Findings> {
    const found = await this.find(tenant, client);
    const text = reason === "" ? "disconnected by an operator" : reason;
    for (const connection of found) {
      connection.disconnect("administrative", new AppError("operation.aborted", text));
    }
    return { disconnected: found.length };
  }

  private async listSubscriptions(list: ops.ListSubscriptions): Promise<Findings> {
    const { table } = this.options;
    const { after, filter, topic, client } = list;
    const ofTenant = tenantWish(list.tenant);
    const from = this.beginning(after);
    const fromPart = after?.instance === this.teller.instance && from > 0 ? after.part : 0;
    const isWanted = (wanted: string): boolean =>
      (filter === "" || wanted === filter) && (topic === "" || topicMatches(plainFilter(wanted), topic));
    const partsOf = (connection: Connection): ops.Subscription[] => {
      const found: ops.Subscription[] = [];
      let part = 0;
      eachFilter(connection, table, (held, tag) => {
        part += 1;
        if (connection.number === from && part <= fromPart) return;
        if (isWanted(held)) found.push(this.subscription(connection, held, tag, part));
      });
      return found;
    };
    const limit = limitOf(list.limit);
    const { picked, more } = await this.pick(limit, (c) => {
      if (c.number < from || (c.number === from && fromPart === 0) || !ofTenant(c)) return false;
      if (client !== "" && !isCalled(c, client)) return false;
      let any = false;
      eachFilter(c, table, (held) => {
        any ||= isWanted(held);
      });
      return any;
    });
    const subscriptions: ops.Subscription[] = [];
    let bytes = 0;
    for (const connection of picked) {
      for (const subscription of partsOf(connection)) {
        if (subscriptions.length >= limit || bytes > MAX_REPORT_BYTES) return { subscriptions, more: true };
        subscriptions.push(subscription);
        bytes += subscription.filter.length * 3 + 200;
      }
    }
    return { subscriptions, more };
  }

  private subscription(connection: Connection, filter: string, tag: number, part: number): ops.Subscription {
    const { identity, number, scope } = connection;
    return {
      ...(connection.subscriptionOptions?.(tag) ?? NO_OPTIONS),
      tenant: identity.tenant,
      device: identity.deviceId,
      listener: this.teller.instance,
      incarnation: this.teller.incarnation,
      number,
      part,
      protocol: scope.kind,
      filter,
    };
  }

  private async listSessions(list: ops.ListSessions): Promise<Findings> {
    const ofTenant = tenantWish(list.tenant);
    const from = this.beginning(list.after);
    const { picked, more } = await this.pick(
      list.limit,
      (c) =>
        c.number > from && isSession(c) && ofTenant(c) && (list.client === "" || isCalled(c, list.client)),
    );
    return { sessions: picked.map((c) => this.session(c)), more };
  }

  private session(connection: Connection): ops.Session {
    const { identity, number } = connection;
    const details = detailsOf(connection, this.options.table, this.teller);
    return ops.Session.fromPartial({
      tenant: identity.tenant,
      client: identity.deviceId,
      service: "listener",
      ...this.teller,
      number,
      connected: true,
      expirySeconds: details.sessionExpirySeconds,
      subscriptions: details.subscriptions,
      inflight: details.inflight,
      queued: details.queued,
      queuedBytes: details.queuedBytes,
      dropped: details.dropped.reduce((sum, { count }) => sum + count, 0),
    });
  }

  /** A session that lives with its connection ends with it. */
  private async deleteSession({ tenant, client }: ops.DeleteSession): Promise<Findings> {
    const found = (await this.find(tenant, client)).filter(isSession);
    const error = new AppError("operation.aborted", "the session was deleted by an operator");
    for (const connection of found) connection.disconnect("deleted", error);
    return { deleted: found.length };
  }

  /** A cursor of an earlier start of this instance begins anew. */
  private beginning(after: ops.Place | undefined): number {
    const { instance, incarnation } = this.teller;
    if (after === undefined || instance < after.instance) return after === undefined ? 0 : Number.MAX_VALUE;
    if (instance > after.instance || incarnation !== after.incarnation) return 0;
    return after.number;
  }

  private async pick(
    limit: number,
    isWanted: (connection: Connection) => boolean,
  ): Promise<{ readonly picked: readonly Connection[]; readonly more: boolean }> {
    const most = limitOf(limit);
    const lowest = new LowestNumbers(most);
    const { connections, clock } = this.options;
    await scanConnections(connections.connections(), clock, (connection) => {
      if (isWanted(connection)) lowest.add(connection);
    });
    return { picked: lowest.picked.slice(0, most), more: lowest.picked.length > most };
  }

  private async find(tenant: ops.Tenant | undefined, client: string): Promise<readonly Connection[]> {
    const ofTenant = tenantWish(tenant);
    return (await this.pick(MAX_ENTRIES, (c) => isCalled(c, client) && ofTenant(c))).picked;
  }
}

function limitOf(limit: number): number {
  return limit === 0 ? MAX_ENTRIES : Math.min(limit, MAX_ENTRIES);
}

/** Kept by their connection alone; what a home keeps the home tells. */
function isSession(connection: Connection): boolean {
  return connection.openedAtUs > 0 && connection.facts().persistent !== true;
}

function isCalled({ identity }: Connection, client: string): boolean {
  return identity.deviceId === client || identity.clientId === client;
}

function tenantWish(tenant: ops.Tenant | undefined): (connection: Connection) => boolean {
  return tenant === undefined ? () => true : ({ identity }) => identity.tenant === tenant.name;
}

function wish(list: ops.ListClients): (connection: Connection) => boolean {
  const { protocols, versions, connectedSinceUs } = list;
  const ofTenant = tenantWish(list.tenant);
  const users = list.users.map(globToRegExp);
  const devices = list.devices.map(globToRegExp);
  return (c) =>
    ofTenant(c) &&
    (protocols.length === 0 || protocols.includes(c.scope.kind)) &&
    (versions.length === 0 || versions.includes(c.versionName)) &&
    (users.length === 0 || users.some((glob) => glob.test(c.identity.user))) &&
    (devices.length === 0 || devices.some((glob) => glob.test(c.identity.deviceId))) &&
    (connectedSinceUs === 0 || c.openedAtUs >= connectedSinceUs);
}
