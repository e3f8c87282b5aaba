/** SUBSCRIBE and UNSUBSCRIBE: asks admission, holds the filters, answers with codes. */
import { AppError } from "@myelin/kernel";
import type { KeptSession } from "../../core/session-home.js";
import { REASON } from "./codec/reason-codes.table.js";
import type { Subscribe, SubscribeItem } from "./codec/subscribe.js";
import { parseFilter } from "./codec/topics.js";
import { placeFilter, sessionReasonOf } from "./keeping.js";
import type { MqttConnection } from "./mqtt-connection.js";
import { fetchRetained } from "./retained.js";
import { STATE } from "./state.js";
import { tagOf } from "./tags.js";

const FAILURE_BEFORE_5 = 0x80;

/**
 * The codes of SUBACK, one per filter; when all dispatchers know what is new, and for a kept session when its home has recorded it. What is
 * retained is asked for then: its messages come behind SUBACK.
 */
export function subscribe(c: MqttConnection, packet: Subscribe): number[] | Promise<number[]> {
  const fresh = new Set<string>();
  const codes = packet.items.map((item) => codeOf(c, item, fresh));
  const kept = c.session?.kept;
  if (kept !== undefined) return subscribeKept(c, kept, packet, codes).then((late) => told(c, late));
  const { subscriptions } = c.shared.ctx;
  const granted: Granted[] = [];
  const placed = codes.map((code, i) => {
    if (code >= 0x80) return code;
    const item = packet.items[i]!;
    const tag = tagOf(item, packet.subscriptionId);
    const outcome = subscriptions.add(c, item.filter, tag);
    if (outcome === "full") return REASON.quotaExceeded;
    granted.push({ item, tag, isNew: outcome === "added" });
    return code;
  });
  return afterSettling(c, granted, told(c, placed));
}

interface Granted {
  readonly item: SubscribeItem;
  readonly tag: number;
  /** The client did not hold the filter before. */
  readonly isNew: boolean;
}

function afterSettling<T>(c: MqttConnection, granted: readonly Granted[], codes: T): T | Promise<T> {
  const settled = granted.some(({ isNew }) => isNew) ? c.shared.ctx.subscriptions.settled() : undefined;
  const finish = (): T => {
    if (c.state !== STATE.ready) return codes;
    for (const { item, tag, isNew } of granted) {
      if (holds(c, item.filter)) fetchRetained(c, item, tag, isNew);
    }
    return codes;
  };
  return settled === undefined ? finish() : settled.then(finish);
}

function holds(c: MqttConnection, filter: string): boolean {
  return c.session?.filters?.has(filter) ?? c.shared.ctx.subscriptions.holds(c, filter);
}

function told(c: MqttConnection, codes: number[]): number[] {
  return c.version === 5 ? codes : codes.map((code) => (code >= 0x80 ? FAILURE_BEFORE_5 : code));
}

/** What the filter is granted, or why not. @param fresh new ones of the same packet */
function codeOf(c: MqttConnection, { filter, qos }: SubscribeItem, fresh: Set<string>): number {
  const { ctx, config } = c.shared;
  const parsed = parseFilter(filter);
  if (parsed === undefined) return REASON.topicFilterInvalid;
  if (!ctx.admission.subscribe(c.identity, parsed.filter)) return REASON.notAuthorized;
  if (holds(c, filter)) return qos;
  const held = c.session?.filters?.size ?? ctx.subscriptions.countOf(c);
  if (held + fresh.size >= config.maxSubscriptions && !fresh.has(filter)) return REASON.quotaExceeded;
  fresh.add(filter);
  return qos;
}

async function subscribeKept(
  c: MqttConnection,
  kept: KeptSession,
  packet: Subscribe,
  codes: number[],
): Promise<number[]> {
  const granted = packet.items
    .filter((_, i) => codes[i]! < 0x80)
    .map((item) => ({ item, filter: item.filter, tag: tagOf(item, packet.subscriptionId) }));
  if (granted.length === 0) return codes;
  const wanted = new Set(granted.map(({ filter }) => filter));
  const session = c.openSession();
  session.adding ??= new Set();
  session.adding.add(wanted);
  try {
    await kept.subscribe(granted);
  } catch (thrown) {
    const reason = sessionReasonOf(AppError.from(thrown).code, REASON.unspecified);
    return codes.map((code) => (code < 0x80 ? reason : code));
  } finally {
    session.adding.delete(wanted);
  }
  if (c.state !== STATE.ready) return codes;
  const held = granted.filter(({ filter }) => wanted.has(filter));
  const placed = held.map(({ item, filter, tag }): Granted => {
    const isNew = c.session?.filters?.has(filter) !== true;
    c.session?.filters?.set(filter, tag);
    placeFilter(c, filter, tag);
    return { item, tag, isNew };
  });
  return await afterSettling(c, placed, codes);
}

/** The codes of UNSUBACK, one per filter. */
export function unsubscribe(c: MqttConnection, filters: readonly string[]): number[] | Promise<number[]> {
  const kept = c.session?.kept;
  const codes = filters.map((filter) => {
    if (parseFilter(filter) === undefined) return REASON.topicFilterInvalid;
    const filters = c.session?.filters;
    const isRemoved = c.shared.ctx.subscriptions.remove(c, filter);
    c.shared.feeds.get(c)?.finished(filter);
    const isHeld = filters?.delete(filter) ?? isRemoved;
    return stopAdding(c, filter) || isHeld ? REASON.success : REASON.noSubscriptionExisted;
  });
  if (kept === undefined || !codes.includes(REASON.success)) return codes;
  const gone = filters.filter((_, i) => codes[i] === REASON.success);
  return kept.unsubscribe(gone).then(
    () => codes,
    () => codes.map((code) => (code === REASON.success ? REASON.unspecified : code)),
  );
}

/** A SUBSCRIBE that the home has not answered no longer brings the filter: the client has thought better of it. False: there is none that would. */
function stopAdding(c: MqttConnection, filter: string): boolean {
  let wasAdding = false;
  for (const wanted of c.session?.adding ?? []) wasAdding = wanted.delete(filter) || wasAdding;
  return wasAdding;
}
