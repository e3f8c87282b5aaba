/** The resources folder of a box as it is on disk: what is declared where, and what a change would make of it. */
import { readdir, readFile, stat } from "node:fs/promises";
import path from "node:path";
import { type ParsedDocument, type ResourceProblem, resourceError, singularOf } from "@myelin/config";
import { AppError } from "@myelin/kernel";
import type { FileChanges } from "./commit.js";
import { reference } from "./kinds.js";
import { appendDocument, replaceSegment, type SegmentedFile, segment, textOf } from "./segments.js";

/** One document as it is declared; `text` is undefined where it cannot be taken out of its file as it is written. */
export interface Declared extends ParsedDocument {
  readonly file: string;
  readonly text: string | undefined;
}

/** What is wanted of one resource: `text` as it is to be written, which means the same as `document`. */
export interface Wanted {
  readonly document: ParsedDocument;
  readonly text: string;
}

export type Action = "created" | "configured" | "unchanged" | "deleted";

/** What becomes of one resource. */
export interface Change {
  readonly action: Action;
  readonly kind: string;
  readonly name: string;
  readonly file: string;
  readonly before: ParsedDocument | undefined;
  readonly after: ParsedDocument | undefined;
}

/** Changes that belong together, and the files they make. */
export interface Plan {
  readonly changes: readonly Change[];
  readonly files: FileChanges;
}

// As the services read it: files in the folder itself, without those of editors.
const RESOURCE_FILE = /^[^.#~][^~#]*\.ya?ml$/;
const MAX_FILES = 10_000;
const MAX_FILE_BYTES = 4 * 1024 * 1024;
const MAX_NAME_CHARS = 180;

/** The folder at one moment. */
export class ResourceFolder {
  readonly #files: Map<string, SegmentedFile>;
  readonly #texts: Map<string, string>;

  private constructor(texts: Map<string, string>, files: Map<string, SegmentedFile>) {
    this.#texts = texts;
    this.#files = files;
  }

  /** A folder that is missing is empty. @throws AppError `config.unreadable` */
  static async load(folder: string): Promise<ResourceFolder> {
    const texts = await readTexts(folder);
    const files = new Map<string, SegmentedFile>();
    for (const [name, text] of texts) files.set(name, await segment(text, name));
    return new ResourceFolder(texts, files);
  }

  /** Everything that can be told apart, also what is refused; in the order of files. */
  get documents(): readonly Declared[] {
    return [...this.#files].flatMap(([file, { segments }]) =>
      segments.flatMap((piece) =>
        piece.documents.map((document) => ({ ...document, file, text: textOf(piece) })),
      ),
    );
  }

  /** Of files that cannot be read as YAML. */
  get problems(): readonly ResourceProblem[] {
    return [...this.#files.values()].flatMap(({ problems }) => problems);
  }

  find(kind: string, name: string): readonly Declared[] {
    return this.documents.filter((d) => d.kind === kind && d.name === name);
  }

  /**
   * What it takes that these are declared. Each is complete and without problems, and none is there twice.
   * @throws AppError `config.invalid_resource` when a file that would change could not be in force afterwards
   */
  async planApply(wanted: readonly Wanted[]): Promise<Plan> {
    return this.#plan(
      wanted.map(({ document, text }) => {
        const { kind, name } = document;
        const [before, second] = this.find(kind, name);
        if (before !== undefined && second !== undefined) {
          throw new AppError(
            "config.invalid_resource",
            `${reference(kind, name)} is declared twice, at ${placeOf(before)} and ${placeOf(second)}: take one out first`,
          );
        }
        const isSame =
          before?.resource !== undefined &&
          before.generation === document.generation &&
          sameMetadata(before, document);
        const action = before === undefined ? "created" : isSame ? "unchanged" : "configured";
        const file = before?.file ?? this.#fileFor(kind, name);
        return { change: { action, kind, name, file, before, after: document }, text };
      }),
    );
  }

  /** What it takes that these are declared no more, wherever they are. @throws AppError as `planApply` */
  async planDelete(gone: readonly Declared[]): Promise<Plan> {
    return this.#plan(
      gone.map((before) => {
        const { kind, name, file } = before;
        return { change: { action: "deleted", kind, name, file, before, after: undefined }, text: undefined };
      }),
    );
  }

  async #plan(steps: readonly { change: Change; text: string | undefined }[]): Promise<Plan> {
    const files = new Map<string, string | undefined>();
    for (const { change, text } of steps) {
      if (change.action === "unchanged") continue;
      const { file } = change;
      const now = files.has(file) ? files.get(file) : this.#texts.get(file);
      files.set(file, await edited(change, now ?? "", text));
    }
    for (const [file, text] of files) {
      if (text === undefined) continue;
      const { segments, problems } = await segment(text, file);
      const documents = segments.flatMap((piece) => piece.documents);
      if (documents.length === 0 && problems.length === 0) files.set(file, undefined);
      // A deletion may leave a file that was refused before refused; whatever is to be in force needs a file that is good.
      const isGood = steps.some(({ change }) => change.file === file && change.action !== "deleted");
      const wrong = [...problems, ...documents.flatMap((d) => d.problems)];
      if (isGood && wrong.length > 0) throw resourceError(wrong);
    }
    return { changes: steps.map(({ change }) => change), files };
  }

  #fileFor(kind: string, name: string): string {
    const base = `${singularOf(kind)}-${name}`.slice(0, MAX_NAME_CHARS);
    return `${base}.yaml`;
  }
}

async function edited(change: Change, now: string, text: string | undefined): Promise<string> {
  const { before, after, kind, name, file } = change;
  if (before === undefined) return appendDocument(now, text ?? "");
  // Lines move with each step, so the document is looked for anew.
  const parsed = await segment(now, file);
  const at = parsed.segments.findIndex((piece) =>
    piece.documents.some((d) => d.kind === kind && d.name === name),
  );
  const piece = parsed.segments[at];
  if (piece === undefined || textOf(piece) === undefined) {
    throw new AppError(
      "config.invalid_resource",
      `${placeOf({ ...before, file })}: ${reference(kind, name)} is written in a way that needs an editor to ${after === undefined ? "take it out" : "change it"}`,
    );
  }
  return replaceSegment(parsed, at, text);
}

function sameMetadata(a: ParsedDocument, b: ParsedDocument): boolean {
  const labels = (d: ParsedDocument): string =>
    JSON.stringify(Object.entries(d.resource?.metadata.labels ?? {}).sort(([x], [y]) => (x < y ? -1 : 1)));
  return labels(a) === labels(b);
}

/** Where it is declared, as `routes.yaml:12`. */
export function placeOf({ file, line }: { readonly file: string; readonly line: number }): string {
  return `${file}:${line}`;
}

async function readTexts(folder: string): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  try {
    const names = (await readdir(folder)).filter((name) => RESOURCE_FILE.test(name)).sort();
    if (names.length > MAX_FILES) throw unreadable(folder, `it holds more than ${MAX_FILES} files`);
    for (const name of names) {
      const file = path.join(folder, name);
      const stats = await stat(file);
      if (!stats.isFile()) continue;
      if (stats.size > MAX_FILE_BYTES)
        throw unreadable(folder, `${name} is larger than ${MAX_FILE_BYTES} bytes`);
      texts.set(name, await readFile(file, "utf8"));
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT" && texts.size === 0) return texts;
    throw AppError.is(error) ? error : unreadable(folder, (error as Error).message, error);
  }
  return texts;
}

function unreadable(folder: string, why: string, cause?: unknown): AppError {
  return new AppError("config.unreadable", `${folder} cannot be read: ${why}`, { cause });
}
