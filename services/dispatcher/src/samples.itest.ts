import { readFile } from "node:fs/promises";
import { formatResourceProblem, parseResources } from "@myelin/config";
import { describe, expect, it } from "vitest";
import { actions } from "./actions/registry.js";
import { codecs } from "./codecs/registry.js";
import { targets } from "./targets/registry.js";

/** Made by the dispatcher itself, so there is no route to show. */
const WITHOUT_SAMPLE = ["devices", "group", "listener", "retained", "sessions", "unrouted"];

const folders = [
  ...Object.keys(targets)
    .filter((kind) => !WITHOUT_SAMPLE.includes(kind))
    .map((kind) => ["targets", kind] as const),
  ...Object.keys(actions).map((kind) => ["actions", kind] as const),
  ...Object.keys(codecs).map((kind) => ["codecs", kind] as const),
];

describe("the sample of", () => {
  it.each(folders)("%s/%s is a good resource that uses it", async (folder, kind) => {
    const text = await readFile(new URL(`./${folder}/${kind}/sample.yaml`, import.meta.url), "utf8");
    const { documents, problems } = await parseResources(text, "sample.yaml");
    expect([...problems, ...documents.flatMap((d) => d.problems)].map(formatResourceProblem)).toEqual([]);
    expect(JSON.stringify(documents[0]?.resource?.spec)).toContain(`"${kind}"`);
  });
});
