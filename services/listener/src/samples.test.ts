import { existsSync, readFileSync } from "node:fs";
import { checkValue, parseYaml, type Schema } from "@myelin/config";
import { describe, expect, it } from "vitest";
import { admissions } from "./admission/registry.js";
import { protocols } from "./protocols/registry.js";

const plugins: [string, URL, () => Promise<{ plugin: { kind: string; schema: Schema } }>][] = [
  ...Object.entries(protocols).map(
    ([kind, load]) => [kind, new URL(`protocols/${kind}/`, import.meta.url), load] as const,
  ),
  ...Object.entries(admissions).map(
    ([kind, load]) => [kind, new URL(`admission/${kind}/`, import.meta.url), load] as const,
  ),
].map(([kind, folder, load]) => [kind, folder, load]);

describe.each(plugins)("the plugin %s", (kind, folder, load) => {
  it("is called like its folder and has a sample that its schema accepts", async () => {
    const { plugin } = await load();
    expect(plugin.kind).toBe(kind);
    const { documents, errors } = await parseYaml(readFileSync(new URL("sample.yaml", folder), "utf8"));
    expect(errors).toEqual([]);
    expect(documents).toHaveLength(1);
    expect(checkValue(plugin.schema, documents[0]!.value).problems).toEqual([]);
  });

  it("has a README", () => {
    expect(existsSync(new URL("README.md", folder))).toBe(true);
  });
});
