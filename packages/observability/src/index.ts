export { AdminServer, type AdminServerOptions } from "./admin/admin-server.js";
export { Health, type HealthReport, type HealthStatus } from "./admin/health.js";
export {
  type LogFields,
  type Logger,
  type LogLevel,
  type LogMethod,
  type RootLogger,
  silentLogger,
} from "./log/logger.js";
export { createLogger, type LoggerOptions } from "./log/pino-logger.js";
export { serializeError } from "./log/serialize-error.js";
export { CounterCell, GaugeCell, HistogramCell, LATENCY_BUCKETS_SECONDS } from "./metrics/cells.js";
export {
  type BoundedLabel,
  bounded,
  type CounterSpec,
  defineMetrics,
  type GaugeSpec,
  type HistogramSpec,
  type LabelSpec,
  type LabelsOf,
  type LabelValues,
  type MetricSpec,
  type Metrics,
  type Series,
} from "./metrics/define.js";
export { createPluginMeters, type PluginMeter, pluginMetricsList } from "./metrics/plugin-metrics.js";
export { createProcessMetrics, processMetricsList } from "./metrics/process-metrics.js";
export { MetricsRegistry, mergeSnapshots } from "./metrics/registry.js";
export { Sampler, type SamplerOptions } from "./trace/sampler.js";
export {
  formatTraceparent,
  newTraceContext,
  type TraceContext,
  tryParseTraceparent,
} from "./trace/traceparent.js";
export {
  type Span,
  type SpanAttributes,
  type SpanOptions,
  type SpanRole,
  Tracing,
  type TracingOptions,
} from "./trace/tracing.js";
