/** Holds the metrics of a process and writes them out; the only importer of prom-client. */
import { AppError } from "@myelin/kernel";
import { AggregatorRegistry, type Metric, Registry } from "prom-client";
import { CounterCell, GaugeCell, HistogramCell } from "./cells.js";
import type { LabelSpec, LabelValues, MetricSpec, Metrics, Series } from "./define.js";

type Cell = CounterCell | GaugeCell | HistogramCell;
type Labels = Readonly<Record<string, string>>;

interface Sample {
  readonly metricName?: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

const OTHER = "other";

// prom-client asks a metric for its samples through `get`. Answering that ourselves, instead of using its classes,
// is what makes counting free: theirs hash the labels on every `inc`.
class FoldedMetric implements Series<LabelSpec, Cell> {
  readonly name: string;
  readonly help: string;
  readonly type: MetricSpec["type"];
  readonly aggregator = "sum";
  readonly #spec: MetricSpec;
  readonly #labelNames: readonly string[];
  readonly #cells = new Map<string, { labels: Labels; cell: Cell }>();
  readonly #seen = new Map<string, Set<string>>();
  readonly #collectors: (() => void | Promise<void>)[] = [];

  constructor(spec: MetricSpec) {
    this.name = spec.name;
    this.help = spec.help;
    this.type = spec.type;
    this.#spec = spec;
    this.#labelNames = Object.keys(spec.labels ?? {});
    if (this.#labelNames.length === 0) this.with();
  }

  with(labels: Labels = {}): Cell {
    const checked = this.#check(labels);
    const key = JSON.stringify(checked);
    let entry = this.#cells.get(key);
    if (entry === undefined) {
      entry = { labels: checked, cell: this.#create() };
      this.#cells.set(key, entry);
    }
    return entry.cell;
  }

  onCollect(callback: () => void | Promise<void>): void {
    this.#collectors.push(callback);
  }

  remove(labels: Labels = {}): void {
    const entry = this.#cells.get(JSON.stringify(this.#check(labels)));
    if (entry !== undefined) this.#cells.delete(JSON.stringify(entry.labels));
  }

  async collect(): Promise<void> {
    for (const callback of this.#collectors) await callback();
  }

  async get(): Promise<object> {
    const values: Sample[] = [];
    for (const { labels, cell } of this.#cells.values()) {
      if (cell instanceof HistogramCell) appendHistogram(values, this.name, labels, cell);
      else values.push({ labels, value: cell.value });
    }
    return { name: this.name, help: this.help, type: this.type, aggregator: this.aggregator, values };
  }

  #create(): Cell {
    if (this.#spec.type === "counter") return new CounterCell();
    if (this.#spec.type === "gauge") return new GaugeCell();
    return new HistogramCell(this.#spec.buckets);
  }

  #check(labels: Labels): Labels {
    const checked: Record<string, string> = {};
    for (const name of this.#labelNames) {
      const value = labels[name];
      if (value === undefined) throw wrongLabel(this.name, name, "nothing");
      checked[name] = this.#limit(name, value);
    }
    return checked;
  }

  #limit(name: string, value: string): string {
    const allowed = this.#spec.labels?.[name] as LabelValues;
    if ("maxValues" in allowed) {
      const seen = this.#seen.get(name) ?? new Set();
      this.#seen.set(name, seen);
      if (!seen.has(value) && seen.size >= allowed.maxValues) return OTHER;
      seen.add(value);
      return value;
    }
    if (!allowed.includes(value)) throw wrongLabel(this.name, name, value);
    return value;
  }
}

function wrongLabel(metric: string, label: string, value: string): AppError {
  return new AppError("internal.invalid_argument", `label ${label} of ${metric} cannot be ${value}`);
}

function appendHistogram(values: Sample[], name: string, labels: Labels, cell: HistogramCell): void {
  let cumulative = 0;
  cell.counts.forEach((count, i) => {
    cumulative += count;
    const le = cell.bounds[i] ?? "+Inf";
    values.push({ metricName: `${name}_bucket`, labels: { le, ...labels }, value: cumulative });
  });
  values.push({ metricName: `${name}_sum`, labels, value: cell.sum });
  values.push({ metricName: `${name}_count`, labels, value: cumulative });
}

/** The metrics of one process. */
export class MetricsRegistry {
  readonly #registry = new Registry();
  readonly #metrics: FoldedMetric[] = [];

  /** What `Content-Type` the page has. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  /**
   * Makes a list live and gives its series.
   * @throws AppError `internal.invalid_argument` when a name is registered already.
   */
  register<const D extends Readonly<Record<string, MetricSpec>>>(definitions: D): Metrics<D> {
    const series: Record<string, FoldedMetric> = {};
    for (const [key, spec] of Object.entries(definitions)) {
      if (this.#registry.getSingleMetric(spec.name) !== undefined) {
        throw new AppError("internal.invalid_argument", `metric ${spec.name} is registered already`);
      }
      const metric = new FoldedMetric(spec);
      this.#registry.registerMetric(metric as unknown as Metric);
      this.#metrics.push(metric);
      series[key] = metric;
    }
    return series as unknown as Metrics<D>;
  }

  /** The page in Prometheus text format. */
  async text(): Promise<string> {
    await Promise.all(this.#metrics.map((metric) => metric.collect()));
    return await this.#registry.metrics();
  }

  /** The same as plain data, to be sent to another process and merged there. */
  async snapshot(): Promise<readonly object[]> {
    await Promise.all(this.#metrics.map((metric) => metric.collect()));
    return await this.#registry.getMetricsAsJSON();
  }
}

/** One page out of the snapshots of several processes, for example the workers of a listener: series are summed. */
export async function mergeSnapshots(snapshots: readonly (readonly object[])[]): Promise<string> {
  return await AggregatorRegistry.aggregate(snapshots as never).metrics();
}
