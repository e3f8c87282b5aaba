/** A session that outlives its connection, taken up by one: what it has from before, and the filters it is given. */
import { topicMatches } from "@myelin/contract";
import { AppError, type ErrorCode } from "@myelin/kernel";
import type { KeptSession } from "../../core/session-home.js";
import { SYS_PREFIX } from "../../core/sys-topics.js";
import { REASON, type Reason } from "./codec/reason-codes.table.js";
import { parseFilter } from "./codec/topics.js";
import type { MqttConnection } from "./mqtt-connection.js";
import { type MqttSession, QOS2_BIT } from "./session.js";
import { tagQos } from "./tags.js";

/** CONNACK is written: takes over filters and unfinished handshakes, and lets come what has waited. */
export function resume(c: MqttConnection, kept: KeptSession): void {
  const { ctx } = c.shared;
  const session = c.openSession();
  session.kept = kept;
  if (kept.incoming.length > 0) {
    session.incoming = new Map(
      kept.incoming.map(({ packetId, id, isStored }) => [packetId, isStored ? "received" : { id }]),
    );
  }
  const denied: string[] = [];
  const filters = new Map<string, number>();
  session.filters = filters;
  for (const { filter, tag } of kept.filters) {
    const plain = parseFilter(filter)?.filter;
    if (plain === undefined || !ctx.admission.subscribe(c.identity, plain)) {
      denied.push(filter);
      continue;
    }
    filters.set(filter, tag);
    if (isMatchedHere(filter, tag)) ctx.subscriptions.add(c, filter, tag);
    if (isAboutBroker(filter)) ctx.retained.sysWanted(c.identity.tenant);
  }
  if (denied.length > 0) {
    // The rules have changed while the client was away.
    kept.unsubscribe(denied).catch((thrown: unknown) => {
      const { code, message } = AppError.from(thrown);
      ctx.log.warn(
        { code, problem: message },
        "filters that a session may hold no longer stay until it comes back",
      );
    });
  }
  kept.begin();
}

/** A filter of a kept session that its client may hold no longer; a home knows nothing of the rules. */
export function deniedFilter(c: MqttConnection): string | undefined {
  for (const filter of c.session?.filters?.keys() ?? []) {
    if (!c.shared.ctx.admission.subscribe(c.identity, parseFilter(filter)?.filter ?? filter)) return filter;
  }
  return undefined;
}

/**
 * Filters of QoS 0 are matched here, while the connection lasts, and so are those of what listeners tell about the broker; all others are matched
 * by the home.
 */
function isMatchedHere(filter: string, tag: number): boolean {
  return tagQos(tag) === 0 || isAboutBroker(filter);
}

/** It may match a topic below `$SYS`. */
export function isAboutBroker(filter: string): boolean {
  return parseFilter(filter)?.filter.startsWith(SYS_PREFIX) ?? false;
}

/** Those that were of the other kind before change sides. */
export function placeFilter(c: MqttConnection, filter: string, tag: number): void {
  const { subscriptions } = c.shared.ctx;
  if (isMatchedHere(filter, tag)) subscriptions.add(c, filter, tag);
  else subscriptions.remove(c, filter);
}

/**
 * The connection is gone: its home is told once it is known what of the client's messages of QoS 2 was stored, so that the next
 * connection takes none of them again.
 */
export function leave(c: MqttConnection): void {
  const { session } = c;
  if (session?.kept === undefined || isStoring(session)) return;
  session.kept.closed(c.offer.sessionExpiry);
}

/** As `EventTicket.settled`, when the connection is gone: nobody can be told but the home. */
export function settledLate(
  c: MqttConnection,
  numbers: readonly number[],
  from: number,
  to: number,
  error: AppError | undefined,
): void {
  const { session } = c;
  const { kept, incoming } = session ?? {};
  if (session === undefined || kept === undefined || incoming === undefined) return;
  for (let i = from; i < to; i++) {
    const packetId = numbers[i]! & 0xffff;
    if (numbers[i]! < QOS2_BIT || incoming.get(packetId) !== "storing") continue;
    incoming.delete(packetId);
    if (error === undefined) kept.stored(packetId);
  }
  leave(c);
}

function isStoring({ incoming }: MqttSession): boolean {
  for (const state of incoming?.values() ?? []) if (state === "storing") return true;
  return false;
}

/** Tags of the filters that match, wherever they are matched for messages of others. */
export function tagsFor(c: MqttConnection, path: string): readonly number[] {
  const { session } = c;
  if (session?.filters === undefined) return c.shared.ctx.subscriptions.tagsOf(c, path);
  return [...session.filters]
    .filter(([filter]) => topicMatches(parseFilter(filter)?.filter ?? filter, path))
    .map(([, tag]) => tag);
}

/** What a client is told when its session's home could not do something. */
export function sessionReasonOf(code: ErrorCode, otherwise: Reason): Reason {
  const isFull = code === "bus.stream_full" || code === "queue.full" || code.startsWith("limit.");
  return isFull ? REASON.quotaExceeded : otherwise;
}
