/** Hands the resources in force to a service, and says once what was refused. */
import {
  formatResourceProblem,
  type Resource,
  type ResourceSource,
  type ResourceStatus,
  type Snapshot,
} from "@myelin/config";
import { AppError, abortError, type Component, type ComponentCondition } from "@myelin/kernel";
import { bounded, defineMetrics } from "@myelin/observability";
import {
  ResourceAnswers,
  type ResourceCondition,
  type ResourceFigures,
  type ResourceRefusal,
} from "./resource-answers.js";
import type { ServiceContext } from "./service.js";

/** The list of the feed's metrics. */
export const resourceMetricsList = defineMetrics({
  resources: {
    type: "gauge",
    name: "myelin_config_resources",
    help: "Resources by kind and state.",
    labels: { kind: bounded(64), state: ["active", "stale", "refused"] },
  },
  changes: {
    type: "counter",
    name: "myelin_config_changes_total",
    help: "Changes of resources that took effect, and problems for which some did not.",
    labels: { outcome: ["applied", "refused"] },
  },
});

/** `apply` is called with each new state, one at a time; the next one waits for it. */
export interface ResourceFeedOptions {
  /** `onStatusChange` must be wired to the source: it is called whenever a status changes. */
  readonly openSource: (onStatusChange: (statuses: readonly ResourceStatus[]) => void) => ResourceSource;
  readonly apply: (snapshot: Snapshot) => void | Promise<void>;
  /** How it stands with what the resources in force ask for; asked per query. */
  readonly conditions?: () => readonly ResourceCondition[];
  /** What is counted of them; asked per query. */
  readonly figures?: () => readonly ResourceFigures[];
  /** Which of these could not be put in force here; changes nothing. */
  readonly check?: (resources: readonly Resource[]) => Promise<readonly ResourceRefusal[]>;
}

type FeedContext = Pick<
  ServiceContext<unknown>,
  "log" | "metrics" | "addPage" | "bus" | "clock" | "onResources"
>;

/**
 * Usable when the first state has been applied. Makes the page `/resources`, and answers over NATS what became of each resource.
 * One per process and source.
 */
export class ResourceFeed implements Component {
  readonly name = "resources";
  readonly #context: FeedContext;
  readonly #options: ResourceFeedOptions;
  readonly #source: ResourceSource;
  readonly #metrics;
  readonly #answers: ResourceAnswers;
  readonly #stopping = new AbortController();
  #known = new Set<string>();
  #running: Promise<void> | undefined;
  #failure: AppError | undefined;

  constructor(context: FeedContext, options: ResourceFeedOptions) {
    this.#context = context;
    this.#options = options;
    this.#metrics = context.metrics.register(resourceMetricsList);
    this.#source = options.openSource((statuses) => this.#report(statuses));
    const { bus, clock } = context;
    const { conditions, figures, check } = options;
    this.#answers = new ResourceAnswers({
      bus,
      clock,
      statuses: () => this.#source.statuses(),
      conditions,
      figures,
      check,
    });
    this.#metrics.resources.onCollect(() => this.#count());
    context.addPage("/resources", () => this.#source.statuses());
  }

  /** @throws AppError when the first state cannot be applied, or the signal's reason. */
  async start(signal: AbortSignal): Promise<void> {
    const first = Promise.withResolvers<void>();
    const onAbort = (): void => first.reject(abortError(signal));
    signal.addEventListener("abort", onAbort, { once: true });
    this.#running = this.#follow(first.resolve).catch((thrown: unknown) => {
      this.#failure = AppError.from(thrown);
      this.#context.log.error({ err: this.#failure }, "resources are no longer followed");
      first.reject(this.#failure);
    });
    try {
      await first.promise;
      this.#answers.start();
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  async stop(): Promise<void> {
    this.#answers.stop();
    this.#stopping.abort(new AppError("operation.aborted", "resources are no longer followed"));
    await this.#running;
  }

  condition(): ComponentCondition {
    if (this.#failure !== undefined) return { state: "failed", reason: this.#failure.message };
    return { state: "running" };
  }

  async #follow(onFirst: () => void): Promise<void> {
    for await (const snapshot of this.#source.watch(this.#stopping.signal)) {
      await this.#options.apply(snapshot);
      this.#context.onResources?.(snapshot);
      this.#metrics.changes.with({ outcome: "applied" }).inc();
      this.#context.log.info(
        {
          revision: snapshot.revision,
          resources: snapshot.resources.length,
          kinds: kindsOf(snapshot.resources),
        },
        "resources are in force",
      );
      onFirst();
    }
  }

  #report(statuses: readonly ResourceStatus[]): void {
    this.#answers.note(statuses);
    const now = new Set<string>();
    for (const { kind, name, state, problems } of statuses) {
      for (const problem of problems) {
        const line = formatResourceProblem(problem);
        now.add(line);
        if (this.#known.has(line)) continue;
        this.#metrics.changes.with({ outcome: "refused" }).inc();
        this.#context.log.warn({ kind, name, state, problem: line }, "a resource was refused");
      }
    }
    this.#known = now;
  }

  #count(): void {
    const counts = new Map<string, number>();
    for (const { kind, state } of this.#source.statuses()) {
      const key = JSON.stringify([kind === "" ? "unknown" : kind, state]);
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    for (const key of this.#counted) if (!counts.has(key)) counts.set(key, 0);
    for (const [key, count] of counts) {
      const [kind, state] = JSON.parse(key) as [string, ResourceStatus["state"]];
      this.#metrics.resources.with({ kind, state }).set(count);
      this.#counted.add(key);
    }
  }

  readonly #counted = new Set<string>();
}

function kindsOf(resources: readonly Resource[]): string[] {
  return [...new Set(resources.map((r) => r.kind))].sort();
}
