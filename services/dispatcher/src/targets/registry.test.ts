import { readdir } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { codecs } from "../codecs/registry.js";
import { TargetPlugins } from "./plugins.js";
import { targets } from "./registry.js";

describe.each([
  ["targets", targets],
  ["codecs", codecs],
] as const)("the registry of %s", (folder, registry) => {
  it("names every folder, and each plugin calls itself by its folder's name", async () => {
    const entries = await readdir(new URL(`../${folder}`, import.meta.url), { withFileTypes: true });
    const folders = entries.filter((e) => e.isDirectory()).map((e) => e.name);
    expect(Object.keys(registry).sort()).toEqual(folders.sort());
    for (const [kind, load] of Object.entries(registry)) {
      const module = await load();
      expect(Object.keys(module)).toEqual(["plugin"]);
      expect(module.plugin.kind).toBe(kind);
    }
  });
});

describe("TargetPlugins", () => {
  it("lists the known kinds when asked for another", async () => {
    const plugins = await TargetPlugins.load();
    expect(() => plugins.of("toString")).toThrow(
      expect.objectContaining({
        code: "route.invalid",
        message: expect.stringContaining("app, device, devices, file"),
      }),
    );
  });
});
