/** `myelin diff`: what `myelin apply` would change. */
import { formatYaml, type ParsedDocument } from "@myelin/config";
import { colour, EXIT, print, printJson } from "../output.js";
import { folderOf, type ResourceOptions } from "../resources/box-folder.js";
import { type Change, ResourceFolder } from "../resources/folder.js";
import { readInput } from "../resources/input.js";
import { reference } from "../resources/kinds.js";
import { unifiedDiff } from "../resources/unified-diff.js";

export interface DiffOptions extends ResourceOptions {
  readonly filename: readonly string[];
  readonly recursive: boolean;
}

/** Exit code 1 when something would change. @throws AppError as `apply` */
export async function diff(options: DiffOptions): Promise<number> {
  const { filename, recursive, json } = options;
  const wanted = await readInput(filename, { recursive, stdin: process.stdin });
  const { changes } = await (await ResourceFolder.load(folderOf(options))).planApply(wanted);
  const different = changes.filter(({ action }) => action !== "unchanged");
  for (const change of different) {
    const text = await difference(change);
    if (json) printJson({ kind: change.kind, name: change.name, action: change.action, diff: text });
    else for (const line of text.trimEnd().split("\n")) print(coloured(line));
  }
  return different.length === 0 ? EXIT.ok : EXIT.failed;
}

async function difference({ kind, name, file, before, after }: Change): Promise<string> {
  const of = async (document: ParsedDocument | undefined): Promise<string> =>
    document === undefined ? "" : await formatYaml(document.value);
  const what = reference(kind, name);
  const names = { before: before === undefined ? "/dev/null" : `${file} ${what}`, after: what };
  return unifiedDiff(await of(before), await of(after), names);
}

function coloured(line: string): string {
  if (line.startsWith("+")) return colour.green(line);
  if (line.startsWith("-")) return colour.red(line);
  return line.startsWith("@@") ? colour.cyan(line) : line;
}
