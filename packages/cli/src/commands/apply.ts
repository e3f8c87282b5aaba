/** `myelin apply`: declares resources, all of them or none. */
import { EXIT } from "../output.js";
import { type ChangeOptions, change } from "../resources/box-folder.js";
import { readInput } from "../resources/input.js";

export interface ApplyOptions extends ChangeOptions {
  /** Files, folders, `-` for standard input. */
  readonly filename: readonly string[];
  readonly recursive: boolean;
}

/** @throws AppError `config.invalid_resource` with everything that is wrong; then nothing has changed */
export async function apply(options: ApplyOptions): Promise<number> {
  const { filename, recursive } = options;
  const wanted = await readInput(filename, { recursive, stdin: process.stdin });
  await change(options, (folder) => folder.planApply(wanted));
  return EXIT.ok;
}
