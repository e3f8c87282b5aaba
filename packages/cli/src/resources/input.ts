/** Resources that somebody hands to a command: files, folders, standard input. */
import { readdir, readFile, stat } from "node:fs/promises";
import path from "node:path";
import { formatYaml, parseYaml, type ResourceProblem, resourceError, withoutPaths } from "@myelin/config";
import { AppError } from "@myelin/kernel";
import type { Wanted } from "./folder.js";
import { segment, textOf } from "./segments.js";

const INPUT_FILE = /\.(ya?ml|json)$/;
const MAX_FILES = 10_000;
const MAX_INPUT_BYTES = 64 * 1024 * 1024;
/** What the platform says of a resource, and `myelin get` prints: it is no wish, so it is left out. */
const SAID = [["status"], ["metadata", "generation"]] as const;

interface Text {
  readonly source: string;
  readonly text: string;
}

/** Bounds what is read in all. */
interface Budget {
  files: number;
  bytes: number;
}

/**
 * All resources of these files, of the files in these folders (`recursive`: and below), and of standard input (`-`).
 * @throws AppError `config.unreadable`; `config.invalid_resource` with everything that is wrong with any of them
 */
export async function readInput(
  names: readonly string[],
  options: { readonly recursive: boolean; readonly stdin: AsyncIterable<Uint8Array> },
): Promise<readonly Wanted[]> {
  if (names.length === 0)
    throw new AppError("config.invalid", "-f FILE is needed; - stands for standard input");
  const budget: Budget = { files: MAX_FILES, bytes: MAX_INPUT_BYTES };
  const texts: Text[] = [];
  for (const name of names) {
    if (name === "-") texts.push({ source: "(standard input)", text: await readStream(options.stdin) });
    else texts.push(...(await readPath(name, options.recursive, true, budget)));
  }
  const wanted: (Wanted & { readonly source: string })[] = [];
  const problems: ResourceProblem[] = [];
  for (const { text, source } of texts) {
    const read = await readText(text, source);
    problems.push(...read.problems);
    wanted.push(...read.wanted.map((one) => ({ ...one, source })));
  }
  problems.push(...doubles(wanted));
  if (problems.length > 0) throw resourceError(problems);
  if (wanted.length === 0)
    throw new AppError("config.invalid_resource", `no resource in ${names.join(", ")}`);
  return wanted;
}

async function readText(
  text: string,
  source: string,
): Promise<{ wanted: readonly Wanted[]; problems: readonly ResourceProblem[] }> {
  // Lists, and what we said ourselves, are no resources yet; lines of problems stay right where they are not there.
  const plain = await expand(text);
  const { segments, problems } = await segment(plain, source);
  const all = [...problems, ...segments.flatMap((s) => s.documents.flatMap((d) => d.problems))];
  if (all.length > 0) return { wanted: [], problems: all };
  const wanted: Wanted[] = [];
  for (const piece of segments) {
    const own = piece.documents.length === 1 ? textOf(piece) : undefined;
    for (const document of piece.documents) {
      wanted.push({ document, text: isBlock(own) ? own : await formatYaml(document.value) });
    }
  }
  return { wanted, problems: [] };
}

/** JSON is YAML, but would be odd among it. */
function isBlock(text: string | undefined): text is string {
  return text !== undefined && !/^\s*(#.*\s+)*[{[]/.test(text);
}

async function expand(text: string): Promise<string> {
  const { documents, errors } = await parseYaml(text);
  if (errors.length > 0 || !documents.some(({ value }) => isList(value) || hasSaid(value))) return text;
  const { segments } = await segment(text, "");
  const pieces: string[] = [];
  const ends = segments.map((piece) => ({ piece, own: textOf(piece) }));
  // With one document a piece they can be edited as text; else they are written anew.
  const asText = ends.length === documents.length && ends.every(({ own }) => own !== undefined);
  for (const [i, { value }] of documents.entries()) {
    if (isList(value)) for (const item of value.items) pieces.push(await formatYaml(withoutSaid(item)));
    else if (asText) pieces.push(await withoutPaths(ends[i]?.own as string, SAID));
    else pieces.push(await formatYaml(withoutSaid(value)));
  }
  return pieces.join("---\n");
}

function isList(value: unknown): value is { readonly items: readonly unknown[] } {
  const { kind, items } = (value ?? {}) as { kind?: unknown; items?: unknown };
  return kind === "List" && Array.isArray(items);
}

function hasSaid(value: unknown): boolean {
  const { status, metadata } = (value ?? {}) as { status?: unknown; metadata?: { generation?: unknown } };
  return status !== undefined || metadata?.generation !== undefined;
}

function withoutSaid(value: unknown): unknown {
  if (!hasSaid(value)) return value;
  const { status: _, metadata, ...rest } = value as { status?: unknown; metadata?: object };
  const { generation: __, ...own } = (metadata ?? {}) as { generation?: unknown };
  return { ...rest, metadata: own };
}

function doubles(wanted: readonly (Wanted & { source: string })[]): ResourceProblem[] {
  const first = new Map<string, string>();
  return wanted.flatMap(({ document: { kind, name, line }, source }) => {
    const key = `${kind}/${name}`;
    const by = first.get(key);
    if (by === undefined) first.set(key, `${source}:${line}`);
    const rule = `given once: ${by} has a ${kind} of that name`;
    return by === undefined
      ? []
      : [{ source, line, path: "metadata.name", value: JSON.stringify(name), rule }];
  });
}

async function readPath(name: string, recursive: boolean, isNamed: boolean, budget: Budget): Promise<Text[]> {
  try {
    const stats = await stat(name);
    if (stats.isDirectory()) {
      if (!isNamed && !recursive) return [];
      const texts: Text[] = [];
      for (const entry of (await readdir(name)).sort()) {
        if (entry.startsWith(".")) continue;
        texts.push(...(await readPath(path.join(name, entry), recursive, false, budget)));
      }
      return texts;
    }
    if (!isNamed && !INPUT_FILE.test(name)) return [];
    budget.files -= 1;
    budget.bytes -= stats.size;
    if (budget.files < 0) throw unreadable(name, `more than ${MAX_FILES} files`);
    if (budget.bytes < 0) throw unreadable(name, `more than ${MAX_INPUT_BYTES} bytes in all`);
    return [{ source: name, text: await readFile(name, "utf8") }];
  } catch (error) {
    throw AppError.is(error) ? error : unreadable(name, (error as Error).message, error);
  }
}

function unreadable(name: string, why: string, cause?: unknown): AppError {
  return new AppError("config.unreadable", `${name} cannot be read: ${why}`, { cause });
}

async function readStream(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > MAX_INPUT_BYTES)
      throw new AppError("config.unreadable", `standard input is larger than ${MAX_INPUT_BYTES} bytes`);
  }
  return Buffer.concat(chunks).toString("utf8");
}
