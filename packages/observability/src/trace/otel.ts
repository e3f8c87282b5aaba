/** Spans by OpenTelemetry over OTLP/HTTP; the only importer of @opentelemetry, itself imported on demand. */

import { AppError } from "@myelin/kernel";
import { type HrTime, ROOT_CONTEXT, SpanKind, SpanStatusCode, TraceFlags, trace } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  AlwaysOnSampler,
  BatchSpanProcessor,
  type SpanExporter,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import type { Logger } from "../log/logger.js";
import { formatTraceparent, type TraceContext } from "./traceparent.js";
import type { Span, SpanOptions, SpanRole } from "./tracing.js";

/** What `Tracing` needs of a library. */
export interface SpanBackend {
  startSpan(name: string, parent: TraceContext | undefined, options: SpanOptions): Span;
  /** Sends what is left, within the exporter's time limit. */
  shutdown(): Promise<void>;
}

interface BackendOptions {
  readonly service: string;
  readonly instance: string;
  readonly version?: string;
  readonly otlpEndpoint: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly log: Logger;
}

// Shutdown waits for the last export; this must fit into the stop deadline of a component.
const EXPORT_TIMEOUT_MS = 3_000;
const MAX_QUEUED_SPANS = 2_048;

const SPAN_KINDS = {
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
} satisfies Record<SpanRole, SpanKind>;

function toHrTime(us: number): HrTime {
  const seconds = Math.floor(us / 1e6);
  return [seconds, (us - seconds * 1e6) * 1000];
}

// The exporter reports failure to its caller only; the caller is the library, which drops it.
function logExportState(exporter: SpanExporter, log: Logger): SpanExporter {
  let failing = false;
  return {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        const failed = result.code !== 0;
        if (failed !== failing) {
          failing = failed;
          if (failed) log.warn({ err: result.error }, "traces cannot be sent and are dropped");
          else log.info("traces are sent again");
        }
        done(result);
      }),
    shutdown: () => exporter.shutdown(),
    forceFlush: async () => await exporter.forceFlush?.(),
  };
}

/** Made once per process, when an endpoint is configured. */
export function createSpanBackend(options: BackendOptions): SpanBackend {
  const exporter = new OTLPTraceExporter({
    url: `${options.otlpEndpoint.replace(/\/$/, "")}/v1/traces`,
    headers: { ...options.headers },
    timeoutMillis: EXPORT_TIMEOUT_MS,
  });
  const provider = new TracerProvider({
    sampler: new AlwaysOnSampler(),
    resource: resourceFromAttributes({
      "service.name": `myelin-${options.service}`,
      "service.instance.id": options.instance,
      ...(options.version !== undefined && { "service.version": options.version }),
    }),
    spanProcessors: [
      new BatchSpanProcessor({
        exporter: logExportState(exporter, options.log),
        maxQueueSize: MAX_QUEUED_SPANS,
        exportTimeoutMillis: EXPORT_TIMEOUT_MS,
      }),
    ],
  });
  const tracer = provider.getTracer("myelin");

  return {
    startSpan(name, parent, { attributes, kind, startUs }) {
      const context =
        parent === undefined
          ? ROOT_CONTEXT
          : trace.setSpanContext(ROOT_CONTEXT, {
              traceId: parent.traceId,
              spanId: parent.spanId,
              traceFlags: TraceFlags.SAMPLED,
              isRemote: true,
            });
      const span = tracer.startSpan(
        name,
        {
          kind: SPAN_KINDS[kind ?? (parent === undefined ? "server" : "consumer")],
          ...(attributes && { attributes }),
          ...(startUs !== undefined && { startTime: toHrTime(startUs) }),
        },
        context,
      );
      const { traceId, spanId } = span.spanContext();
      return {
        traceparent: formatTraceparent({ traceId, spanId, sampled: true }),
        setAttribute: (key, value) => void span.setAttribute(key, value),
        end({ error, endUs } = {}) {
          if (error !== undefined) {
            const { code, message } = AppError.from(error);
            span.setAttribute("error.type", code);
            span.setStatus({ code: SpanStatusCode.ERROR, message });
          }
          span.end(endUs === undefined ? undefined : toHrTime(endUs));
        },
      };
    },
    shutdown: () => provider.shutdown(),
  };
}
