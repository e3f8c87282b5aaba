/** What the subscription table and the home of a session hold of a subscription beside its filter. */
import type { SubscribeItem } from "./codec/subscribe.js";

const NO_LOCAL = 4;
const RETAIN_AS_PUBLISHED = 8;
const BELOW_ID = 16;

/** A subscription's options in one number below 2^32, of which a home reads the lowest three bits: QoS, no-local, retain-as-published, subscription identifier. */
export function tagOf(item: SubscribeItem, subscriptionId: number): number {
  const options = (item.noLocal ? NO_LOCAL : 0) | (item.retainAsPublished ? RETAIN_AS_PUBLISHED : 0);
  return item.qos + options + subscriptionId * BELOW_ID;
}

export const tagQos = (tag: number): 0 | 1 | 2 => (tag & 3) as 0 | 1 | 2;
export const tagNoLocal = (tag: number): boolean => (tag & NO_LOCAL) !== 0;
export const tagRetain = (tag: number): boolean => (tag & RETAIN_AS_PUBLISHED) !== 0;
/** The same tag, but RETAIN goes along as published. */
export const withRetain = (tag: number): number => (tagRetain(tag) ? tag : tag + RETAIN_AS_PUBLISHED);
/** 0: none. */
export const tagSubscriptionId = (tag: number): number => Math.floor(tag / BELOW_ID);
