/** Samples in columns, as hardware-agents send them. */
import { Protocol } from "./generated/myelin/envelope/v1/envelope.js";

/** Content type of an encoded `sample.Block`. */
export const SAMPLES_CONTENT_TYPE = "application/vnd.myelin.samples";

/** A message holds samples that an agent has judged. It is believed of agents only: what the network sends is judged by its profile. */
export function isSampleBlock(protocol: Protocol, contentType: string): boolean {
  return protocol === Protocol.HARDWARE && contentType === SAMPLES_CONTENT_TYPE;
}
