/** The sinks in force, each with its store: made, changed and closed as the resources say. */
import { join } from "node:path";
import { generationOf, resolveSecret, type SecretReference, type SinkSpec } from "@myelin/config";
import { type DataStore, InfluxdbStore, MysqlStore, PostgresqlStore, SqliteStore } from "@myelin/data-store";
import { AppError, type Clock, type Component, type Timer } from "@myelin/kernel";
import type { ResourceCondition } from "@myelin/service-host";
import type { CoreLog } from "../core/ports.js";

/** What was done with a sink since this process started. */
export interface SinkCounts {
  /** Confirmed by the store. */
  readings: number;
  /** Messages in which there was no value for one of the sink's points. */
  skipped: number;
  /** Writes that the store did not take. */
  failures: number;
}

/** How a sink stands. */
interface SinkState {
  /** Why its store did not take the last write; undefined: it took it, or nothing was written yet. */
  problem: AppError | undefined;
  sinceMs: number;
}

/** One sink in force. */
export interface Sink {
  readonly name: string;
  readonly spec: SinkSpec;
  readonly store: DataStore;
  readonly counts: SinkCounts;
  readonly state: SinkState;
}

export interface SinksOptions {
  /** Files lie below it; undefined: there are no sinks. */
  readonly dataDir: string | undefined;
  readonly clock: Clock;
  readonly log: CoreLog;
}

const SWEEP_MS = 10 * 60_000;

/** One per process. */
export class Sinks implements Component {
  readonly name = "sinks";
  private readonly sinks = new Map<string, Sink>();
  private readonly closing = new Set<Promise<void>>();
  private timer: Timer | undefined;
  private readonly stopping = new AbortController();
  private sweeping: Promise<void> | undefined;

  constructor(private readonly options: SinksOptions) {}

  /** Stores are opened by the first write or query: one that is away must not keep anything else from starting. */
  async start(): Promise<void> {
    this.timer = this.options.clock.setInterval(() => this.beginSweep(), SWEEP_MS);
    this.timer.unref();
  }

  async stop(): Promise<void> {
    this.options.clock.clear(this.timer);
    this.stopping.abort(new AppError("operation.aborted", "the sinks are being closed"));
    for (const sink of this.sinks.values()) this.close(sink);
    this.sinks.clear();
    await Promise.all([...this.closing, this.sweeping]);
  }

  /** Puts these in force. What is on its way to a store that changes is refused as retryable, and goes to the new one. */
  apply(
    resources: readonly { readonly metadata: { readonly name: string }; readonly spec: SinkSpec }[],
  ): void {
    const names = new Set(resources.map(({ metadata }) => metadata.name));
    for (const [name, sink] of this.sinks) {
      if (names.has(name)) continue;
      this.sinks.delete(name);
      this.close(sink);
    }
    for (const { metadata, spec } of resources) this.put(metadata.name, spec);
  }

  get(name: string): Sink | undefined {
    return this.sinks.get(name);
  }

  all(): Iterable<Sink> {
    return this.sinks.values();
  }

  /** For each sink: does its store take what is written? */
  conditions(): readonly ResourceCondition[] {
    return [...this.sinks.values()].map(({ name, spec, state: { problem, sinceMs } }) => ({
      kind: "Sink",
      name,
      type: "Ready",
      status: problem === undefined,
      reason: problem?.code ?? "InForce",
      message: problem?.message ?? "",
      generation: generationOf(spec),
      sinceMs,
    }));
  }

  /** The store of a sink has taken so many readings. */
  took(sink: Sink, readings: number): void {
    sink.counts.readings += readings;
    if (sink.state.problem === undefined) return;
    this.options.log.info({ sink: sink.name }, "the store of a sink takes readings again");
    this.change(sink, undefined);
  }

  /** The store of a sink, if it is there, has not taken a write. */
  failed(name: string, err: AppError): void {
    const sink = this.sinks.get(name);
    if (sink === undefined) return;
    sink.counts.failures += 1;
    if (sink.state.problem === undefined) {
      this.options.log.warn({ err, sink: name }, "the store of a sink takes no readings, will retry");
      this.change(sink, err);
    } else sink.state.problem = err;
    if (err.code === "store.full") this.beginSweep();
  }

  /** Removes what no sink wants to keep any longer: every ten minutes, and when a store is full. */
  async sweep(): Promise<void> {
    const { clock, log } = this.options;
    for (const { name, spec, store } of [...this.sinks.values()]) {
      if (spec.retention === undefined) continue;
      try {
        const removed = await store.removeBefore(
          clock.wallUs() - spec.retention * 1_000,
          this.stopping.signal,
        );
        if (removed > 0) log.debug({ sink: name, readings: removed }, "old readings were removed");
      } catch (err) {
        if (this.stopping.signal.aborted) return;
        log.warn({ err, sink: name }, "old readings cannot be removed, will retry");
      }
    }
  }

  private beginSweep(): void {
    this.sweeping ??= this.sweep().finally(() => {
      this.sweeping = undefined;
    });
  }

  private put(name: string, spec: SinkSpec): void {
    const known = this.sinks.get(name);
    const counts = known?.counts ?? { readings: 0, skipped: 0, failures: 0 };
    if (known !== undefined && storeKey(known.spec) === storeKey(spec)) {
      this.sinks.set(name, { ...known, spec });
      return;
    }
    const state = { problem: undefined, sinceMs: this.options.clock.wallMs() };
    this.sinks.set(name, { name, spec, store: this.createStore(spec), counts, state });
    if (known !== undefined) this.close(known);
  }

  private change({ state }: Sink, problem: AppError | undefined): void {
    state.problem = problem;
    state.sinceMs = this.options.clock.wallMs();
  }

  private createStore({ store: { sqlite, postgresql, mysql, influxdb }, batch }: SinkSpec): DataStore {
    const { dataDir, clock } = this.options;
    const common = { clock, batchReadings: batch.readings, batchWaitMs: batch.wait };
    if (sqlite !== undefined) {
      // Without a data directory no route can name a sink, so the store is never asked.
      return new SqliteStore({ ...common, ...sqlite, path: join(dataDir ?? "", sqlite.path) });
    }
    if (postgresql !== undefined) return new PostgresqlStore({ ...common, ...withSecrets(postgresql) });
    if (mysql !== undefined) return new MysqlStore({ ...common, ...withSecrets(mysql) });
    if (influxdb !== undefined) {
      const { password, ca, ...server } = influxdb;
      const secrets = { password: secretOf(password), ca: secretOf(ca) };
      return new InfluxdbStore({ ...common, ...server, ...secrets });
    }
    throw new AppError("internal.unreachable", "a sink has one kind of store");
  }

  private close({ name, store }: Sink): void {
    const closing = store
      .stop()
      .catch((err: unknown) => this.options.log.warn({ err, sink: name }, "a store was not closed cleanly"))
      .finally(() => this.closing.delete(closing));
    this.closing.add(closing);
  }
}

function storeKey({ store, batch }: SinkSpec): string {
  return JSON.stringify([store, batch]);
}

type DatabaseSpec = NonNullable<SinkSpec["store"]["postgresql"]>;

function withSecrets({ password, tls, ...server }: DatabaseSpec) {
  return { ...server, password: secretOf(password), tls: tls && { ca: secretOf(tls.ca) } };
}

/** Read anew at each connection, so that one that was changed counts. */
function secretOf(reference: SecretReference | undefined): (() => Promise<string>) | undefined {
  return reference && (async () => (await resolveSecret(reference)).reveal());
}
