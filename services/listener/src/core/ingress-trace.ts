/** Traces at the way in: a share of the messages, and those whose senders are traced already. */
import type { Channel, EnvelopeExtras } from "@myelin/contract";
import type { Tracing } from "@myelin/observability";

/** What the ingress asks of tracing. */
export type IngressTracing = Pick<Tracing, "enabled" | "sampleIngress" | "acceptIngress" | "startSpan">;

/**
 * The extras of a message that begins or continues a trace here; the extras as they are for all others. What a sender says
 * about its trace is passed on only when we trace it too: the flag in the batch costs every hop a look.
 */
export function tracedExtras(
  tracing: IngressTracing,
  channel: Channel,
  extras: EnvelopeExtras | undefined,
): EnvelopeExtras | undefined {
  const given = extras?.traceparent;
  if (given === undefined || given === "") {
    return tracing.sampleIngress() ? withSpan(tracing, channel, extras, "") : extras;
  }
  if (tracing.acceptIngress(given)) return withSpan(tracing, channel, extras, given);
  return { ...extras, traceparent: undefined, tracestate: undefined };
}

const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/** The trace context that stands among a sender's own headers; empty where there is none. */
export function traceOf(
  headers: readonly { readonly name: string; readonly value: string }[],
): Pick<EnvelopeExtras, "traceparent" | "tracestate"> {
  const traceparent = headers.find(({ name }) => name === "traceparent")?.value;
  if (traceparent === undefined || !TRACEPARENT.test(traceparent)) return {};
  return { traceparent, tracestate: headers.find(({ name }) => name === "tracestate")?.value };
}

function withSpan(
  tracing: IngressTracing,
  channel: Channel,
  extras: EnvelopeExtras | undefined,
  parent: string,
): EnvelopeExtras {
  const span = tracing.startSpan("listener receive", {
    parent,
    kind: "server",
    attributes: {
      "messaging.system": "myelin",
      "messaging.operation.name": "receive",
      "messaging.operation.type": "receive",
      "messaging.destination.name": channel.head.path,
      "messaging.destination.partition.id": String(channel.partition),
      "myelin.device.id": channel.head.deviceId,
      "myelin.port": channel.head.port,
    },
  });
  const traced = { ...extras, traceparent: span.traceparent };
  span.end();
  return traced;
}
