/** Spans for sampled messages; costs nothing but an `if` where tracing is off. */
import { type Clock, type Component, systemClock } from "@myelin/kernel";
import type { Logger } from "../log/logger.js";
import type { SpanBackend } from "./otel.js";
import { Sampler } from "./sampler.js";
import { tryParseTraceparent } from "./traceparent.js";

/** Values that a span may carry; never payloads. */
export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;

/** Which side of an exchange a span is about, in OpenTelemetry's words. */
export type SpanRole = "server" | "client" | "producer" | "consumer";

/** Times are Unix microseconds; without them a span begins and ends when it is called so. */
export interface SpanOptions {
  /** The sender's `traceparent`; empty or absent begins a new trace. */
  readonly parent?: string;
  /** `server` where a trace begins and `consumer` where it goes on, unless it is said. */
  readonly kind?: SpanRole;
  readonly attributes?: SpanAttributes;
  readonly startUs?: number;
}

/** One step of a traced message. */
export interface Span {
  /** What the next hop gets; the parent's own when this span is not recorded. */
  readonly traceparent: string;
  setAttribute(name: string, value: string | number | boolean): void;
  /** Once; an error marks the span as failed with its code. */
  end(options?: { readonly error?: unknown; readonly endUs?: number }): void;
}

/** Without `otlpEndpoint` nothing is loaded, sampled or sent. The endpoint is the base URL of an OTLP/HTTP receiver. */
export interface TracingOptions {
  readonly service: string;
  readonly instance: string;
  readonly version?: string;
  readonly otlpEndpoint?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly ratio?: number;
  readonly maxPerSecond?: number;
  readonly log: Logger;
  readonly clock?: Clock;
}

class UnrecordedSpan implements Span {
  readonly traceparent: string;

  constructor(traceparent: string) {
    this.traceparent = traceparent;
  }

  setAttribute(): void {}

  end(): void {}
}

const NO_SPAN = new UnrecordedSpan("");

/** The tracing of a process. Sending never delays or fails a message: spans that cannot be sent are dropped. */
export class Tracing implements Component {
  readonly name = "tracing";
  /** True when an endpoint is configured. */
  readonly enabled: boolean;
  readonly #options: TracingOptions;
  readonly #sampler: Sampler;
  #backend: SpanBackend | undefined;

  constructor(options: TracingOptions) {
    this.#options = options;
    this.enabled = options.otlpEndpoint !== undefined;
    this.#sampler = new Sampler({
      ratio: this.enabled ? (options.ratio ?? 0.001) : 0,
      maxPerSecond: options.maxPerSecond ?? 50,
      clock: options.clock ?? systemClock,
    });
  }

  /** The libraries are loaded here, so that a process without an endpoint does not pay for them. */
  async start(): Promise<void> {
    const { otlpEndpoint } = this.#options;
    if (otlpEndpoint === undefined) return;
    const { createSpanBackend } = await import("./otel.js");
    this.#backend = createSpanBackend({ ...this.#options, otlpEndpoint });
  }

  async stop(): Promise<void> {
    const backend = this.#backend;
    this.#backend = undefined;
    await backend?.shutdown();
  }

  /** At ingress, per message without a trace context: shall a trace begin here? */
  sampleIngress(): boolean {
    return this.#sampler.sample();
  }

  /** At ingress, per message with one: is it sampled by its sender and within our limit? */
  acceptIngress(traceparent: string): boolean {
    return this.enabled && tryParseTraceparent(traceparent)?.sampled === true && this.#sampler.admit();
  }

  /** Only for messages that are sampled: call it behind `sampleIngress`, or where a batch is flagged as traced. */
  startSpan(name: string, options: SpanOptions = {}): Span {
    const parent = options.parent ?? "";
    const context = parent === "" ? undefined : tryParseTraceparent(parent);
    if (this.#backend === undefined || context?.sampled === false) {
      return parent === "" ? NO_SPAN : new UnrecordedSpan(parent);
    }
    return this.#backend.startSpan(name, context, options);
  }
}
