/** Traces at the apps' way in: a share of what they publish, and what they trace themselves, within the limit per second. */
import type { Channel, EnvelopeExtras } from "@myelin/contract";
import type { Tracing } from "@myelin/observability";

/** What publishing asks of tracing. */
export type PublishTracing = Pick<Tracing, "sampleIngress" | "acceptIngress" | "startSpan">;

/** The extras of a message that begins or continues a trace here; the extras as they are for all others. */
export function tracedPublish(
  tracing: PublishTracing,
  app: string,
  channel: Channel,
  extras: EnvelopeExtras | undefined,
): EnvelopeExtras | undefined {
  const parent = extras?.traceparent ?? "";
  if (parent === "" ? !tracing.sampleIngress() : !tracing.acceptIngress(parent)) {
    // The flag that a trace context sets in a batch costs every hop a look, so one that nobody records ends here.
    return parent === "" ? extras : { ...extras, traceparent: undefined, tracestate: undefined };
  }
  const span = tracing.startSpan("bridge publish", {
    parent,
    kind: "server",
    attributes: {
      "messaging.system": "myelin",
      "messaging.operation.name": "publish",
      "messaging.operation.type": "receive",
      "messaging.destination.name": channel.head.path,
      "messaging.destination.partition.id": String(channel.partition),
      "messaging.client.id": app,
      "myelin.device.id": channel.head.deviceId,
    },
  });
  span.end();
  return { ...extras, traceparent: span.traceparent };
}
