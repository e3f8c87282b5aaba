/** Programs that tests run as processes of their own, from their sources. */
import { fileURLToPath } from "node:url";

/** Arguments for `process.execPath` that run the TypeScript file at this URL without a build. Only where the repository's sources are. */
export function sourceArguments(file: URL): string[] {
  const hooks = fileURLToPath(new URL("./run-source.mjs", import.meta.url));
  const flags = ["--no-warnings", "--experimental-transform-types", "--conditions=source"];
  return [...flags, "--import", hooks, fileURLToPath(file)];
}
