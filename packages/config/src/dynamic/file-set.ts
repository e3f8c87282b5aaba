/** What is in force out of a set of files: keeps the last good state of each, and finds names given twice. */
import { nameTaken, type ParsedDocument, parseResources } from "./parse-resources.js";
import type { Resource, ResourceProblem, ResourceStatus } from "./resource.js";
import type { Scan, ScannedFile } from "./scan.js";

interface FileState {
  readonly scanned: ScannedFile;
  /** In force: the documents of the last text without a problem. */
  readonly good: readonly ParsedDocument[];
  /** Documents of the text as it is now; undefined when it could not be read. */
  readonly current: readonly ParsedDocument[] | undefined;
  readonly problems: readonly ResourceProblem[];
}

interface Owner {
  readonly file: string;
  readonly document: ParsedDocument;
}

/** Files as they were at the last scan. */
export class FileSet {
  readonly #directory: string;
  #files = new Map<string, FileState>();
  #directoryProblem: ResourceProblem | undefined;
  #resources: readonly Resource[] = [];
  #statuses: readonly ResourceStatus[] = [];

  constructor(directory: string) {
    this.#directory = directory;
  }

  get resources(): readonly Resource[] {
    return this.#resources;
  }

  get statuses(): readonly ResourceStatus[] {
    return this.#statuses;
  }

  /** What a scan need not read again. */
  get scanned(): ReadonlyMap<string, ScannedFile> {
    return new Map([...this.#files].map(([name, state]) => [name, state.scanned]));
  }

  /** Takes a scan over. A directory that cannot be read leaves everything in force. */
  async update(scan: Scan): Promise<void> {
    this.#directoryProblem =
      scan.error === undefined ? undefined : this.#problem(this.#directory, scan.error);
    if (scan.files !== undefined) {
      const files = new Map<string, FileState>();
      for (const scanned of scan.files) files.set(scanned.name, await this.#takeOver(scanned));
      this.#files = files;
    }
    this.#combine();
  }

  async #takeOver(scanned: ScannedFile): Promise<FileState> {
    const before = this.#files.get(scanned.name);
    if (before?.scanned.signature === scanned.signature) return before;
    const good = before?.good ?? [];
    if (scanned.text === undefined) {
      return {
        scanned,
        good,
        current: undefined,
        problems: [this.#problem(scanned.name, scanned.error ?? "")],
      };
    }
    const { documents, problems } = await parseResources(scanned.text, scanned.name);
    const all = [...problems, ...documents.flatMap((d) => d.problems)];
    return { scanned, good: all.length === 0 ? documents : good, current: documents, problems: all };
  }

  #problem(source: string, error: string): ResourceProblem {
    return { source, line: 0, path: "(file)", value: error, rule: "readable" };
  }

  #combine(): void {
    const owners = new Map<string, Owner>();
    const statuses: ResourceStatus[] = [];
    if (this.#directoryProblem !== undefined) {
      const source = this.#directory;
      statuses.push({
        kind: "",
        name: "",
        source,
        generation: 0,
        state: "stale",
        problems: [this.#directoryProblem],
      });
    }
    for (const [file, state] of this.#files) this.#addFile(file, state, owners, statuses);
    this.#resources = [...owners.values()].map((owner) => owner.document.resource as Resource);
    this.#statuses = statuses;
  }

  #addFile(file: string, state: FileState, owners: Map<string, Owner>, statuses: ResourceStatus[]): void {
    const inForce = new Set<string>();
    for (const document of state.good) {
      const key = keyOf(document);
      const owner = owners.get(key);
      if (owner === undefined) {
        owners.set(key, { file, document });
        inForce.add(key);
      } else if (state.problems.length === 0) {
        const problem = nameTaken(document, file, `${owner.file}:${owner.document.line}`);
        statuses.push({
          kind: document.kind,
          name: document.name,
          source: file,
          generation: document.generation,
          state: "refused",
          problems: [problem],
        });
      }
    }
    if (state.problems.length === 0) {
      for (const { kind, name, generation } of state.good) {
        if (inForce.has(`${kind}/${name}`))
          statuses.push({ kind, name, source: file, generation, state: "active", problems: [] });
      }
    } else statuses.push(...refusedFile(file, state, inForce));
  }
}

// A file is one unit: a good document beside a bad one waits too, so that a half-edited file never takes effect.
function refusedFile(file: string, state: FileState, inForce: ReadonlySet<string>): ResourceStatus[] {
  const documents = state.current ?? [];
  const known = new Set(documents.map(keyOf));
  const ofDocuments = new Set(documents.flatMap((d) => d.problems));
  const ofText = state.problems.filter((p) => !ofDocuments.has(p));
  const stateOf = (key: string) => (inForce.has(key) ? ("stale" as const) : ("refused" as const));
  const statuses: ResourceStatus[] = documents.map((d) => ({
    kind: d.kind,
    name: d.name,
    source: file,
    generation: d.generation,
    state: stateOf(keyOf(d)),
    problems: d.problems,
  }));
  for (const d of state.good) {
    if (!known.has(keyOf(d)))
      statuses.push({
        kind: d.kind,
        name: d.name,
        source: file,
        generation: d.generation,
        state: "stale",
        problems: [],
      });
  }
  if (ofText.length > 0) {
    statuses.push({
      kind: "",
      name: "",
      source: file,
      generation: 0,
      state: inForce.size > 0 ? "stale" : "refused",
      problems: ofText,
    });
  }
  return statuses;
}

function keyOf(document: ParsedDocument): string {
  return `${document.kind}/${document.name}`;
}
