/** The runs of one partition that are known: what its journal says. */
import type { FlowSpec } from "@myelin/config";
import type { flow as wire } from "@myelin/contract";
import {
  applyEvent,
  type CompiledFlow,
  compileFlow,
  createRun,
  isOver,
  type RunEvent,
  type RunState,
  type Values,
} from "@myelin/flows";
import { sizeOf } from "./journal.js";

/** A run, and the flow that it was made of. */
export interface RunEntry {
  readonly header: wire.Header;
  readonly input: Values;
  readonly flow: CompiledFlow;
  readonly state: RunState;
  /** As they are stored. */
  readonly happened: wire.JournalRecord[];
  bytes: number;
}

/** Changed by `apply` alone, live and out of the journal. */
export class FlowBook {
  readonly runs = new Map<string, RunEntry>();
  /** Of those that are not over. */
  readonly open = new Map<string, RunEntry>();
  /** Of all records that a snapshot has. */
  bytes = 0;
  readonly #versions = new Map<
    string,
    { readonly record: wire.Version; readonly flow: CompiledFlow; users: number }
  >();

  /** True where runs were made of this version before. */
  hasVersion(flow: string, version: string): boolean {
    return this.#versions.has(versionKey(flow, version));
  }

  /** @throws AppError `internal.invalid_argument` for what cannot have happened */
  apply(journaled: wire.JournalRecord): void {
    const { record } = journaled;
    switch (record?.$case) {
      case "version":
        this.#addVersion(record.value);
        return;
      case "created":
        this.#create(record.value);
        return;
      case "happened": {
        const entry = this.runs.get(record.value.run);
        if (entry === undefined) return;
        applyEvent(entry.flow.plan, entry.state, JSON.parse(record.value.event) as RunEvent);
        entry.happened.push(journaled);
        this.#grow(entry, sizeOf(journaled));
        if (isOver(entry.state.status)) this.open.delete(entry.header.id);
        return;
      }
      case "forgotten":
        this.#forget(record.value);
    }
  }

  /** Everything, in an order in which it can be read. */
  *records(): Iterable<wire.JournalRecord> {
    for (const { record, users } of this.#versions.values())
      if (users > 0) yield { record: { $case: "version", value: record } };
    for (const { header, happened } of this.runs.values()) {
      yield { record: { $case: "created", value: header } };
      yield* happened;
    }
  }

  #addVersion(record: wire.Version): void {
    const key = versionKey(record.flow, record.version);
    if (this.#versions.has(key)) return;
    // It was compiled without problems before a run was made of it.
    const { flow } = compileFlow(record.flow, JSON.parse(record.spec) as FlowSpec);
    this.#versions.set(key, { record, flow, users: 0 });
    this.bytes += record.spec.length;
  }

  #create(header: wire.Header): void {
    const version = this.#versions.get(versionKey(header.flow, header.version));
    if (version === undefined || this.runs.has(header.id)) return;
    version.users += 1;
    const { flow } = version;
    const entry: RunEntry = {
      header,
      input: JSON.parse(header.input) as Values,
      flow,
      state: createRun(flow.plan.steps.map(({ name }) => name)),
      happened: [],
      bytes: 0,
    };
    this.runs.set(header.id, entry);
    this.open.set(header.id, entry);
    this.#grow(entry, sizeOf({ record: { $case: "created", value: header } }));
  }

  #forget(id: string): void {
    const entry = this.runs.get(id);
    if (entry === undefined) return;
    this.runs.delete(id);
    this.open.delete(id);
    this.bytes -= entry.bytes;
    const key = versionKey(entry.header.flow, entry.header.version);
    const version = this.#versions.get(key);
    if (version === undefined) return;
    version.users -= 1;
    if (version.users > 0) return;
    this.#versions.delete(key);
    this.bytes -= version.record.spec.length;
  }

  #grow(entry: RunEntry, bytes: number): void {
    entry.bytes += bytes;
    this.bytes += bytes;
  }
}

function versionKey(flow: string, version: string): string {
  return `${flow}\0${version}`;
}
