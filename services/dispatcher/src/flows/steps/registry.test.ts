import { readdir, readFile } from "node:fs/promises";
import { type FlowSpec, flowKind, parseResources, type Schema } from "@myelin/config";
import { compileFlow } from "@myelin/flows";
import { describe, expect, it } from "vitest";
import { steps } from "./registry.js";

const kinds = Object.keys(steps);

describe("the registry of steps", () => {
  it("names every folder, each plugin calls itself by its folder's name, and flows can name each of them", async () => {
    const entries = await readdir(new URL(".", import.meta.url), { withFileTypes: true });
    const folders = entries.filter((e) => e.isDirectory()).map((e) => e.name);
    expect([...kinds].sort()).toEqual(folders.sort());
    for (const [kind, load] of Object.entries(steps)) {
      const module = await load();
      expect(Object.keys(module)).toEqual(["plugin"]);
      expect(module.plugin.kind).toBe(kind);
    }
    const spec = flowKind.spec as Schema as { properties: { steps: { additionalProperties: Schema } } };
    const properties = spec.properties.steps.additionalProperties.properties?.do?.properties ?? {};
    // `each` is a shape of steps, not a kind.
    expect(Object.keys(properties).sort()).toEqual([...kinds, "each"].sort());
  });

  it.each(kinds)("has a sample of %s that can be compiled", async (kind) => {
    const text = await readFile(new URL(`${kind}/sample.yaml`, import.meta.url), "utf8");
    const { documents } = await parseResources(text, "sample.yaml");
    expect(documents.flatMap(({ problems }) => problems)).toEqual([]);
    const { flow, problems } = compileFlow("sample", documents[0]?.resource?.spec as FlowSpec);
    expect(problems).toEqual([]);
    expect([...flow.steps.values()].some(({ action }) => action.kind === kind)).toBe(true);
  });
});
