/** The spans of a traced batch here: `bridge deliver` until the app's stream has taken it, `app settle` until the app is done. */
import { BATCH_FLAGS, type BatchView } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { Span, Tracing } from "@myelin/observability";

/** What deliveries ask of tracing. */
export type DeliveryTracing = Pick<Tracing, "startSpan">;

/** Who the batch is for. */
export interface TracedApp {
  readonly app: string;
  readonly instance: string;
}

/** Ingress limits what is traced; this bounds what one batch can make us hold all the same. */
const MAX_SPANS = 64;

/** One batch's spans; made only for batches that are flagged as traced. */
export class DeliveryTrace {
  readonly #tracing: DeliveryTracing;
  readonly #attributes: Readonly<Record<string, string>>;
  #spans: Span[];

  private constructor(tracing: DeliveryTracing, spans: Span[], attributes: Readonly<Record<string, string>>) {
    this.#tracing = tracing;
    this.#spans = spans;
    this.#attributes = attributes;
  }

  /** Begins the spans of a batch; undefined when it is not traced. Moves the view's cursor. */
  static begin(
    tracing: DeliveryTracing | undefined,
    view: BatchView,
    { app, instance }: TracedApp,
  ): DeliveryTrace | undefined {
    if (tracing === undefined || (view.hop.flags & BATCH_FLAGS.traced) === 0) return undefined;
    const attributes = {
      "messaging.system": "myelin",
      "messaging.consumer.group.name": app,
      "messaging.client.id": instance,
      "messaging.destination.partition.id": String(view.hop.partition),
    };
    const spans: Span[] = [];
    for (const parent of traceparentsOf(view)) {
      spans.push(
        tracing.startSpan("bridge deliver", {
          parent,
          kind: "producer",
          attributes: {
            ...attributes,
            "messaging.operation.name": "deliver",
            "messaging.operation.type": "send",
          },
        }),
      );
    }
    return spans.length === 0 ? undefined : new DeliveryTrace(tracing, spans, attributes);
  }

  /** The app's stream has taken the batch. */
  sent(): void {
    this.#spans = this.#spans.map((span) => {
      span.end();
      return this.#tracing.startSpan("app settle", {
        parent: span.traceparent,
        kind: "client",
        attributes: {
          ...this.#attributes,
          "messaging.operation.name": "settle",
          "messaging.operation.type": "settle",
        },
      });
    });
  }

  /** The app is done with the batch. */
  settled(): void {
    for (const span of this.#spans) span.end();
    this.#spans = [];
  }

  /** The batch was given up here; `reason` as in the books. */
  givenUp(reason: string): void {
    for (const span of this.#spans) {
      span.setAttribute("myelin.drop.reason", reason);
      span.end({ error: new AppError("operation.aborted", `the batch was given up: ${reason}`) });
    }
    this.#spans = [];
  }
}

function traceparentsOf(view: BatchView): string[] {
  const found: string[] = [];
  try {
    view.rewind();
    while (found.length < MAX_SPANS && view.next()) if (view.traceparent !== "") found.push(view.traceparent);
  } catch {
    // The bridge passes bytes on as they are; that they are broken is for the app to find and count.
  }
  return found;
}
