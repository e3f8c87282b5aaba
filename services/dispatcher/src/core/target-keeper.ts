/** Makes the targets that routes, apps and listeners name, and takes them out when nobody names them any more and nothing waits for them. */
import type { Target } from "./outlet.js";
import type { Partition } from "./partition.js";
import type { TargetRef } from "./plan.js";
import type { CoreLog } from "./ports.js";
import { TargetTable } from "./target-table.js";

export interface TargetKeeperOptions {
  readonly log: CoreLog;
  readonly create: (kind: string, name: string, spec: unknown) => Target;
  /** The spec of a target that is known by its name only; undefined for kinds that nothing waits for. */
  readonly specOf: (kind: string, name: string) => unknown;
  /** Every partition that may hold something for a target. */
  readonly partitions: () => Iterable<Partition>;
  /** Whether an app, a listener or the dispatcher itself wants a target that no route names. */
  readonly isWanted: (ref: TargetRef) => boolean;
  readonly onGone: (ref: TargetRef) => void;
}

/** Deleted apps that something may still wait for; the oldest is forgotten, and what waits for it stays until it is deleted again. */
const MAX_DELETED = 10_000;

/** One per process. */
export class TargetKeeper {
  private readonly table = new TargetTable();
  private readonly starting = new Set<Promise<void>>();
  private routed: ReadonlySet<TargetRef> = new Set();
  private readonly deletedApps = new Set<string>();

  constructor(private readonly options: TargetKeeperOptions) {}

  /** The reference of a target, made and started when it is new, else given its present settings. */
  ensure(kind: string, name: string, spec: unknown): TargetRef {
    const { ref, made } = this.table.ensure(kind, name, () => this.options.create(kind, name, spec));
    if (!made) this.targetOf(ref)?.configure?.(spec);
    else {
      const starting = this.start(ref).finally(() => this.starting.delete(starting));
      this.starting.add(starting);
    }
    return ref;
  }

  targetOf(ref: TargetRef): Target | undefined {
    return this.table.targetOf(ref);
  }

  refs(): Iterable<TargetRef> {
    return this.table.refs();
  }

  /** Resolves when every target that was made so far has started, or has failed to. */
  async started(): Promise<void> {
    await Promise.all(this.starting);
  }

  /** These targets are named by the routes in force. */
  setRouted(refs: Iterable<TargetRef>): void {
    this.routed = new Set(refs);
  }

  /** An operator has deleted an app: what waits for it is given up, unless a route names it. */
  appDeleted(app: string): void {
    this.deletedApps.delete(app);
    this.deletedApps.add(app);
    for (const oldest of this.deletedApps) {
      if (this.deletedApps.size <= MAX_DELETED) break;
      this.deletedApps.delete(oldest);
    }
  }

  appKnown(app: string): void {
    this.deletedApps.delete(app);
  }

  /** Something waits for a target that nobody here names: a route or an app was deleted while another process owned the partition. */
  adopt(kind: string, name: string): void {
    if (this.table.find(kind, name) !== undefined) return;
    const { log, specOf } = this.options;
    try {
      const spec = specOf(kind, name);
      if (spec !== undefined) {
        this.ensure(kind, name, spec);
        return;
      }
      log.warn({ target: `${kind}:${name}` }, "events wait for a target that cannot be made any more");
    } catch (err) {
      log.warn({ err, target: `${kind}:${name}` }, "events wait for a target that cannot be made any more");
    }
  }

  /** Takes out what nobody wants and nothing waits for. Called about twice a second. */
  sweep(): void {
    const { partitions, isWanted } = this.options;
    const owned = [...partitions()];
    for (const ref of [...this.refs()]) {
      if (this.routed.has(ref) || isWanted(ref)) continue;
      if (ref.kind === "app" && this.deletedApps.has(ref.name)) {
        for (const partition of owned) partition.events.peek(ref)?.abandon("app_deleted");
      }
      // What is kept for connections goes when it is certain that they have gone.
      if (this.targetOf(ref)?.keptFor !== undefined) {
        for (const partition of owned) partition.events.peek(ref)?.ready();
      }
      if (owned.every((partition) => partition.isFinished(ref))) this.remove(ref, owned);
    }
  }

  /** Stops every target. */
  async stop(): Promise<void> {
    await Promise.allSettled([...this.refs()].map((ref) => this.table.remove(ref)?.stop()));
  }

  private remove(ref: TargetRef, owned: readonly Partition[]): void {
    const { log, onGone } = this.options;
    for (const partition of owned) partition.forgetTarget(ref);
    const target = this.table.remove(ref);
    onGone(ref);
    target?.stop().catch((err: unknown) => {
      log.warn(
        { err, target: `${ref.kind}:${ref.name}` },
        "a target that is not needed any more did not stop cleanly",
      );
    });
  }

  private async start(ref: TargetRef): Promise<void> {
    try {
      await this.targetOf(ref)?.start(new AbortController().signal);
    } catch (err) {
      // It stays: its queue counts it as away, and the target itself goes on trying.
      this.options.log.warn({ err, target: `${ref.kind}:${ref.name}` }, "target is not ready yet");
    }
    for (const partition of this.options.partitions()) partition.events.of(ref);
  }
}
