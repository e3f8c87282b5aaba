/** Where the bench finds its own files, the same whether it runs compiled or from its sources. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of this package. */
export const PACKAGE_DIR = fileURLToPath(new URL("..", import.meta.url));

/** What is built on this machine: the driver and peers. Ignored by git, safe to delete. */
export const BUILD_DIR = join(PACKAGE_DIR, ".build");

/** Sources that the compiler does not copy (C, Go) lie beside the TypeScript ones. */
export function sourceDir(...parts: string[]): string {
  return join(PACKAGE_DIR, "src", ...parts);
}

/** A program beside the calling module, to be run by Node as a process of its own; `name` is without extension. */
export function siblingProgram(moduleUrl: string, name: string): string {
  const compiled = fileURLToPath(new URL(`${name}.js`, moduleUrl));
  return existsSync(compiled) ? compiled : fileURLToPath(new URL(`${name}.ts`, moduleUrl));
}
