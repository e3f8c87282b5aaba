/** SUBSCRIBE and UNSUBSCRIBE: asks admission, holds the filters, answers with codes. */

import { REASON } from "./codec/reason-codes.table.js";
import type { Subscribe, SubscribeItem } from "./codec/subscribe.js";
import { parseFilter } from "./codec/topics.js";
import type { MqttConnection } from "./mqtt-connection.js";

/** Highest QoS that is granted; more is downgraded, as 3.8.4 allows. */
const MAX_GRANTED_QOS = 1;
const FAILURE_BEFORE_5 = 0x80;

/** A subscription's options in one number: QoS, no-local, retain-as-published, subscription identifier. */
export function tagOf(item: SubscribeItem, subscriptionId: number): number {
  const qos = Math.min(item.qos, MAX_GRANTED_QOS);
  return qos + (item.noLocal ? 2 : 0) + (item.retainAsPublished ? 4 : 0) + subscriptionId * 8;
}

export const tagQos = (tag: number): 0 | 1 => (tag & 1) as 0 | 1;
export const tagNoLocal = (tag: number): boolean => (tag & 2) !== 0;
export const tagRetain = (tag: number): boolean => (tag & 4) !== 0;
/** 0: none. */
export const tagSubscriptionId = (tag: number): number => Math.floor(tag / 8);

/** The codes of SUBACK, one per filter. */
export function subscribe(c: MqttConnection, packet: Subscribe): number[] {
  return packet.items.map((item) => {
    const code = subscribeOne(c, item, packet.subscriptionId);
    return code >= 0x80 && c.version < 5 ? FAILURE_BEFORE_5 : code;
  });
}

function subscribeOne(c: MqttConnection, item: SubscribeItem, subscriptionId: number): number {
  const { ctx, config } = c.shared;
  const parsed = parseFilter(item.filter);
  if (parsed === undefined) return REASON.topicFilterInvalid;
  if (!ctx.admission.subscribe(c.identity, parsed.filter)) return REASON.notAuthorized;
  const { filters } = c.openSession();
  if (filters.size >= config.maxSubscriptions && !filters.has(item.filter)) return REASON.quotaExceeded;
  const tag = tagOf(item, subscriptionId);
  filters.set(item.filter, tag);
  ctx.subscriptions.add(c, item.filter, tag);
  return tagQos(tag);
}

/** The codes of UNSUBACK, one per filter. */
export function unsubscribe(c: MqttConnection, filters: readonly string[]): number[] {
  return filters.map((filter) => {
    if (parseFilter(filter) === undefined) return REASON.topicFilterInvalid;
    if (c.session?.filters.delete(filter) !== true) return REASON.noSubscriptionExisted;
    c.shared.ctx.subscriptions.remove(c, filter);
    return REASON.success;
  });
}
