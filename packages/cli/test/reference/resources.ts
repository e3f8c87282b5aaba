import { type AnyKind, API_VERSION, documentSchema, kinds, settingsTable } from "@myelin/config";
import { code, page } from "./page.js";

/** Every resource kind, field by field. */
export function resourcesPage(): string {
  const all: readonly AnyKind[] = Object.values(kinds);
  return page("Resources", "packages/config/src/kinds/", [
    `YAML documents with ${code(`apiVersion: ${API_VERSION}`)}, in files ending in ${code(".yaml")} or ${code(".yml")} below the resources directory.`,
    "Several documents in a file are separated by `---`. How to write them: [routes](../how-to/routes.md), [device profiles](../how-to/profiles.md).",
    "",
    ...all.flatMap((kind) => [
      `## ${kind.kind}`,
      "",
      settingsTable(documentSchema(kind), { environment: false }),
    ]),
  ]);
}
