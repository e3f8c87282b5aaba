/** How a service lists its metrics. */
import { AppError } from "@myelin/kernel";
import type { CounterCell, GaugeCell, HistogramCell } from "./cells.js";

/**
 * The values a label may take: a closed list, which the compiler holds callers to, or `bounded(n)` for names that
 * come from configuration. Device ids, topics and subjects are neither.
 */
export type LabelValues = readonly string[] | BoundedLabel;

/** An open set with a limit; from the limit on, new values are counted under `other`. */
export interface BoundedLabel {
  readonly maxValues: number;
}

/** For instances, apps, routes and other names that an operator gives; keep `maxValues` small. */
export function bounded(maxValues: number): BoundedLabel {
  return { maxValues };
}

/** The labels of one metric by name. */
export type LabelSpec = Readonly<Record<string, LabelValues>>;

interface SpecBase<L extends LabelSpec> {
  /** `myelin_<service>_<thing>_<unit>[_total]` in base units. */
  readonly name: string;
  readonly help: string;
  readonly labels?: L;
}

/** A number that only grows; its name ends in `_total`. */
export interface CounterSpec<L extends LabelSpec = LabelSpec> extends SpecBase<L> {
  readonly type: "counter";
}

/** A number that goes up and down. */
export interface GaugeSpec<L extends LabelSpec = LabelSpec> extends SpecBase<L> {
  readonly type: "gauge";
}

/** A distribution; `buckets` are upper bounds in growing order. */
export interface HistogramSpec<L extends LabelSpec = LabelSpec> extends SpecBase<L> {
  readonly type: "histogram";
  readonly buckets: readonly number[];
}

/** Any metric of a list. */
export type MetricSpec = CounterSpec | GaugeSpec | HistogramSpec;

/** The label values of one series, each within its closed set. */
export type LabelsOf<L extends LabelSpec> = {
  readonly [K in keyof L]: L[K] extends readonly (infer V)[] ? V : string;
};

/** What callers hold of a metric. Ask for a cell once, keep it, and count on it. */
export interface Series<L extends LabelSpec, Cell> {
  /** The cell of these labels, always the same one; makes a lookup, so not for each message. */
  with(...labels: keyof L extends never ? [] : [LabelsOf<L>]): Cell;
  /** Called before each scrape, to bring cells up to date from queues and tables; the scrape waits for a promise. */
  onCollect(callback: () => void | Promise<void>): void;
  /** Forgets a series whose subject is gone, for example a disconnected app. */
  remove(...labels: keyof L extends never ? [] : [LabelsOf<L>]): void;
}

type CellOf<S extends MetricSpec> = S["type"] extends "counter"
  ? CounterCell
  : S["type"] extends "gauge"
    ? GaugeCell
    : HistogramCell;

type LabelsIn<S extends MetricSpec> = S extends { readonly labels: infer L extends LabelSpec }
  ? L
  : Record<never, never>;

/** The metrics of a list once they are registered, by the same keys. */
export type Metrics<D extends Readonly<Record<string, MetricSpec>>> = {
  readonly [K in keyof D]: Series<LabelsIn<D[K]>, CellOf<D[K]>>;
};

const NAME = /^(myelin|nodejs|process)_[a-z][a-z0-9_]*$/;

/**
 * Checks a list of metrics and keeps its exact types; `MetricsRegistry.register` makes it live.
 * @throws AppError `internal.invalid_argument` for a name outside the convention, at import of a wrong list.
 */
export function defineMetrics<const D extends Readonly<Record<string, MetricSpec>>>(metrics: D): D {
  const names = new Set<string>();
  for (const spec of Object.values(metrics)) {
    const wrong =
      !NAME.test(spec.name) ||
      names.has(spec.name) ||
      (spec.type === "counter") !== spec.name.endsWith("_total");
    if (wrong)
      throw new AppError("internal.invalid_argument", `metric name ${spec.name} breaks the convention`);
    names.add(spec.name);
  }
  return metrics;
}
