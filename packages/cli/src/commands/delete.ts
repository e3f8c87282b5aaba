/** `myelin delete`: takes resources out of the folder of the box. */
import { AppError } from "@myelin/kernel";
import { EXIT, note } from "../output.js";
import { type ChangeOptions, change } from "../resources/box-folder.js";
import type { Declared, ResourceFolder } from "../resources/folder.js";
import { readInput } from "../resources/input.js";
import { reference, selectionsOf } from "../resources/kinds.js";

export interface DeleteOptions extends ChangeOptions {
  readonly filename: readonly string[];
  readonly recursive: boolean;
  /** Every resource of the kinds that are given. */
  readonly all: boolean;
  readonly ignoreNotFound: boolean;
}

interface Named {
  readonly kind: string;
  /** Undefined: all of the kind. */
  readonly name: string | undefined;
}

/** @throws AppError `resource.unknown` when one is not there; then nothing has changed */
export async function deleteResources(words: readonly string[], options: DeleteOptions): Promise<number> {
  const gone = await namedBy(words, options);
  const { changes } = await change(options, (folder) => folder.planDelete(found(folder, gone, options)));
  if (changes.length === 0) note("Nothing is there to delete.");
  return EXIT.ok;
}

async function namedBy(words: readonly string[], options: DeleteOptions): Promise<readonly Named[]> {
  const { filename, recursive, all } = options;
  if (words.length > 0 === filename.length > 0) {
    throw new AppError("config.invalid", "myelin delete needs KIND NAME or -f FILE, and not both");
  }
  if (filename.length > 0) {
    const wanted = await readInput(filename, { recursive, stdin: process.stdin });
    return wanted.map(({ document: { kind, name } }) => ({ kind, name }));
  }
  return selectionsOf(words).flatMap(({ kind, names }): Named[] => {
    if (names.length === 0 && !all) {
      throw new AppError("config.invalid", `myelin delete ${kind} needs the name of one, or --all`);
    }
    return names.length === 0 ? [{ kind, name: undefined }] : names.map((name) => ({ kind, name }));
  });
}

function found(
  folder: ResourceFolder,
  gone: readonly Named[],
  { ignoreNotFound }: DeleteOptions,
): readonly Declared[] {
  const missing: string[] = [];
  const there = gone.flatMap(({ kind, name }) => {
    if (name === undefined) return folder.documents.filter((d) => d.kind === kind);
    const own = folder.find(kind, name);
    if (own.length === 0) missing.push(reference(kind, name));
    return own;
  });
  if (missing.length > 0 && !ignoreNotFound) {
    throw new AppError("resource.unknown", `There is no ${missing.join(" and no ")}; nothing was deleted.`);
  }
  return there;
}
