/** Answers what operators ask, for the sessions that have their home in this process. */
import { ops, subjects, topicMatches } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { DispatcherPorts, Release } from "../core/ports.js";
import { ingestTimeOf } from "./records.js";
import { type Session, tagNoLocal, tagQos } from "./session.js";
import type { SessionHome } from "./session-home.js";

const MAX_ENTRIES = 1_000;
/** A report stays far below what NATS takes; filters may be long. */
const MAX_REPORT_BYTES = 400_000;
/** Then the event loop turns. */
const LONGEST_TURN_MS = 3;
const LOOK_AT_CLOCK_EVERY = 256;
/** Questions that are answered at a time; each walks over all sessions. */
const MAX_WAITING = 16;
/** A place is the number of a session within its partition, below the partition. */
const PER_PARTITION = 2 ** 40;
const SHARE = /^\$share\/[^/]*\//;
const SERVICE = "dispatcher";
const EMPTY_REPORT = ops.Report.fromPartial({});

type Findings = Partial<ops.Report>;

interface Found {
  readonly session: Session;
  readonly home: SessionHome;
  readonly place: number;
}

/** One per process, for all homes in it. */
export class SessionOperations {
  private waiting = 0;

  constructor(
    private readonly ports: Pick<DispatcherPorts, "instance" | "incarnation" | "clock" | "serve">,
    private readonly homes: ReadonlyMap<number, SessionHome>,
  ) {}

  serve(): Release {
    return this.ports.serve(subjects.operations(), (data) => this.answer(data));
  }

  /** Never rejects: what went wrong stands in the report. */
  private async answer(data: Uint8Array): Promise<Uint8Array> {
    const { instance, incarnation } = this.ports;
    let findings: Findings;
    this.waiting += 1;
    try {
      if (this.waiting > MAX_WAITING)
        throw new AppError("queue.full", "too many questions of operators wait");
      findings = await this.handle(ops.Question.decode(data));
    } catch (thrown) {
      const { code, message, retryable } = AppError.from(thrown).toWire();
      findings = { problem: { code, message, retryable } };
    } finally {
      this.waiting -= 1;
    }
    const peers = [{ service: SERVICE, instance }];
    const report = { ...EMPTY_REPORT, ...findings, service: SERVICE, instance, incarnation, peers };
    return ops.Report.encode(report).finish();
  }

  private async handle({ question }: ops.Question): Promise<Findings> {
    switch (question?.$case) {
      case "listSessions":
        return await this.listSessions(question.value);
      case "listSubscriptions":
        return await this.listSubscriptions(question.value);
      case "deleteSession":
        return await this.deleteSession(question.value);
      default:
        // Connections are known to listeners alone.
        return {};
    }
  }

  private async listSessions({ tenant, client, after, limit }: ops.ListSessions): Promise<Findings> {
    const from = this.beginning(after);
    const most = limitOf(limit);
    const sessions: ops.Session[] = [];
    for await (const found of this.all(from, tenant, client)) {
      if (sessions.length === most) return { sessions, more: true };
      if (found.place > from) sessions.push(this.session(found));
    }
    return { sessions };
  }

  private session({ session, home, place }: Found): ops.Session {
    const { instance, incarnation } = this.ports;
    const inflight = session.inflight?.size ?? 0;
    return {
      ...{ tenant: session.tenant, client: session.client, service: SERVICE, instance, incarnation },
      number: place,
      persistent: true,
      connected: session.link !== undefined,
      offlineAtMs: session.offlineAtMs,
      expirySeconds: session.expirySeconds,
      subscriptions: home.store?.filtersOf(session) ?? 0,
      inflight,
      queued: session.queued - inflight,
      queuedBytes: session.bytes,
      dropped: session.dropped,
      oldestAtMs: oldestAtMs(session),
    };
  }

  /** Of clients that are away: those of connected ones are told by their listeners. */
  private async listSubscriptions(list: ops.ListSubscriptions): Promise<Findings> {
    const { tenant, client, filter, topic, after } = list;
    const from = this.beginning(after);
    const fromPart = after?.instance === this.ports.instance && from > 0 ? after.part : 0;
    const most = limitOf(list.limit);
    const subscriptions: ops.Subscription[] = [];
    let bytes = 0;
    for await (const found of this.all(from, tenant, client)) {
      if (found.session.link !== undefined || (found.place === from && fromPart === 0)) continue;
      let part = 0;
      let isFull = false;
      found.home.store?.forEachFilter(found.session, (held, tag) => {
        part += 1;
        if (found.place === from && part <= fromPart) return;
        if (filter !== "" && held !== filter) return;
        if (topic !== "" && !topicMatches(held.replace(SHARE, ""), topic)) return;
        isFull ||= subscriptions.length === most || bytes > MAX_REPORT_BYTES;
        if (isFull) return;
        subscriptions.push(this.subscription(found, held, tag, part));
        bytes += held.length * 3 + 200;
      });
      if (isFull) return { subscriptions, more: true };
    }
    return { subscriptions };
  }

  private subscription(
    { session, place }: Found,
    filter: string,
    tag: number,
    part: number,
  ): ops.Subscription {
    const { instance, incarnation } = this.ports;
    return {
      ...{ tenant: session.tenant, device: session.client, listener: instance, incarnation },
      ...{ number: place, part, protocol: "mqtt", filter },
      qos: tagQos(tag),
      noLocal: tagNoLocal(tag),
      retainAsPublished: (tag & 8) !== 0,
      subscriptionId: Math.floor(tag / 16),
    };
  }

  private async deleteSession({ tenant, client }: ops.DeleteSession): Promise<Findings> {
    const found: Found[] = [];
    for await (const one of this.all(0, tenant, client)) found.push(one);
    const deleted = await Promise.all(
      found.map(async ({ home, session }) => home.desk?.delete(session.tenant, session.client) ?? false),
    );
    return { deleted: deleted.filter(Boolean).length };
  }

  /** In the order of their places, from this one on. @param client empty: of all */
  private async *all(from: number, tenant: ops.Tenant | undefined, client: string): AsyncIterable<Found> {
    const { clock } = this.ports;
    let turnedMs = clock.nowMs();
    let seen = 0;
    for (const home of [...this.homes.values()].sort((a, b) => a.partition - b.partition)) {
      const base = home.partition * PER_PARTITION;
      if (base + PER_PARTITION <= from || home.store === undefined) continue;
      const named =
        client !== "" && tenant !== undefined ? home.store.ofClient(tenant.name, client) : undefined;
      const sessions =
        client !== "" && tenant !== undefined ? [named].filter((s) => s !== undefined) : home.store.all();
      for (const session of sessions) {
        if (++seen % LOOK_AT_CLOCK_EVERY === 0 && clock.nowMs() - turnedMs > LONGEST_TURN_MS) {
          await new Promise((resolve) => setImmediate(resolve));
          turnedMs = clock.nowMs();
        }
        const place = base + session.number;
        if (place < from || (tenant !== undefined && session.tenant !== tenant.name)) continue;
        if (client === "" || session.client === client) yield { session, home, place };
      }
    }
  }

  /** A cursor of an earlier start of this instance begins anew. */
  private beginning(after: ops.Place | undefined): number {
    const { instance, incarnation } = this.ports;
    if (after === undefined) return 0;
    if (instance < after.instance) return Number.MAX_SAFE_INTEGER;
    return instance > after.instance || incarnation !== after.incarnation ? 0 : after.number;
  }
}

function limitOf(limit: number): number {
  return limit === 0 ? MAX_ENTRIES : Math.min(limit, MAX_ENTRIES);
}

function oldestAtMs({ entries }: Session): number {
  const [oldest] = entries?.values() ?? [];
  return oldest === undefined ? 0 : Math.floor(ingestTimeOf(oldest.message.record) / 1000);
}
