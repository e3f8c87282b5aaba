/** Answers what operators ask about sessions that outlive their connections: which there are, and that one is to go. */
import { ops, subjects } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { DispatcherPorts, Release } from "../core/ports.js";
import type { Session } from "./session.js";
import type { SessionHome } from "./session-home.js";

const MAX_ENTRIES = 1_000;
/** Session numbers are of their partition; the lower digits of a place say which one. */
const PARTITION_DIGITS = 65_536;
const SERVICE = "dispatcher";
const EMPTY_REPORT = ops.Report.fromPartial({});

/** One per process, for all homes in it. */
export class SessionOperations {
  constructor(
    private readonly ports: DispatcherPorts,
    private readonly homes: ReadonlyMap<number, SessionHome>,
  ) {}

  serve(): Release {
    return this.ports.serve(subjects.operations(), async (data) => this.answer(data));
  }

  /** Never throws: what went wrong stands in the report. Of questions about anything else it knows nothing. */
  private answer(data: Uint8Array): Uint8Array {
    const { instance, incarnation } = this.ports;
    let findings: Partial<ops.Report> = {};
    try {
      const { question } = ops.Question.decode(data);
      if (question?.$case === "listSessions") findings = this.list(question.value);
      else if (question?.$case === "deleteSession") findings = this.delete(question.value);
    } catch (thrown) {
      const { code, message, retryable } = AppError.from(thrown).toWire();
      findings = { problem: { code, message, retryable } };
    }
    const peers = [{ service: SERVICE, instance }];
    const report = { ...EMPTY_REPORT, ...findings, service: SERVICE, instance, incarnation, peers };
    return ops.Report.encode(report).finish();
  }

  private list({ tenant, client, after, limit }: ops.ListSessions): Partial<ops.Report> {
    const from = this.beginning(after);
    const most = limit === 0 ? MAX_ENTRIES : Math.min(limit, MAX_ENTRIES);
    const found: { readonly place: number; readonly home: SessionHome; readonly session: Session }[] = [];
    for (const home of this.homes.values()) {
      for (const session of candidates(home, tenant, client)) {
        const place = session.number * PARTITION_DIGITS + home.partition;
        if (place > from) found.push({ place, home, session });
      }
    }
    found.sort((a, b) => a.place - b.place);
    const sessions = found
      .slice(0, most)
      .map(({ place, home, session }) => this.sessionOf(place, home, session));
    return { sessions, more: found.length > most };
  }

  private sessionOf(number: number, { store }: SessionHome, session: Session): ops.Session {
    const inflight = session.inflight?.size ?? 0;
    return ops.Session.fromPartial({
      tenant: session.tenant,
      client: session.client,
      service: SERVICE,
      instance: this.ports.instance,
      incarnation: this.ports.incarnation,
      number,
      persistent: true,
      connected: session.link !== undefined,
      offlineAtMs: session.offlineAtMs,
      expirySeconds: session.expirySeconds,
      subscriptions: store?.filtersOf(session) ?? 0,
      inflight,
      queued: session.queued - inflight,
      queuedBytes: session.bytes,
    });
  }

  private delete({ tenant, client }: ops.DeleteSession): Partial<ops.Report> {
    let deleted = 0;
    for (const home of this.homes.values()) {
      for (const session of candidates(home, tenant, client)) {
        if (home.desk?.delete(session.tenant, session.client) === true) deleted += 1;
      }
    }
    return { deleted };
  }

  /** A cursor of an earlier start of this instance begins anew. */
  private beginning(after: ops.Place | undefined): number {
    const { instance, incarnation } = this.ports;
    if (after === undefined) return 0;
    if (instance < after.instance) return Number.POSITIVE_INFINITY;
    return instance > after.instance || incarnation !== after.incarnation ? 0 : after.number;
  }
}

/** Those that the home serves, of this tenant and client where they are named. A copy: sessions end while it is gone through. */
function candidates({ store }: SessionHome, tenant: ops.Tenant | undefined, client: string): Session[] {
  if (store === undefined) return [];
  if (tenant !== undefined && client !== "") {
    const session = store.ofClient(tenant.name, client);
    return session === undefined ? [] : [session];
  }
  return [...store.all()].filter(
    (session) =>
      (tenant === undefined || session.tenant === tenant.name) &&
      (client === "" || session.client === client),
  );
}
