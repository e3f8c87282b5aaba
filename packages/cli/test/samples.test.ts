/** Holds the YAML of our documents to the schemas: settings and resources that a reader copies must be accepted. */
import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { checkValue, formatResourceProblem, parseResources, parseYaml } from "@myelin/config";
import { dispatcherService } from "@myelin/dispatcher";
import { hardwareAgentService } from "@myelin/hardware-agent";
import { ipcBridgeService } from "@myelin/ipc-bridge";
import { listenerService } from "@myelin/listener";
import { processSchema } from "@myelin/service-host";
import { describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const BLOCK = /^```yaml\n([\s\S]*?)^```/gm;

interface Sample {
  readonly file: string;
  readonly text: string;
}

const samples: Sample[] = globSync(
  ["README.md", "docs/**/*.md", "services/*/README.md", "packages/*/README.md"],
  {
    cwd: ROOT,
  },
).flatMap((file) =>
  [...readFileSync(`${ROOT}/${file}`, "utf8").matchAll(BLOCK)].map(([, text = ""]) => ({ file, text })),
);
const schema = processSchema([
  await listenerService(),
  dispatcherService,
  ipcBridgeService,
  hardwareAgentService,
]);
const sections = Object.keys(schema.properties ?? {});
const isSettings = ({ text }: Sample): boolean => sections.includes(firstKey(text));
const isResource = ({ text }: Sample): boolean => firstKey(text) === "apiVersion";

function firstKey(text: string): string {
  return /^([A-Za-z]+):/m.exec(text)?.[1] ?? "";
}

describe("a sample in our documents", () => {
  it("is found where it stands", () => {
    expect(samples.filter(isSettings).length).toBeGreaterThan(0);
    expect(samples.filter(isResource).length).toBeGreaterThan(0);
  });

  it.each(samples.filter(isSettings))("of settings in $file is accepted", async ({ text }) => {
    const { documents, errors } = await parseYaml(text);
    expect(errors).toEqual([]);
    for (const { value } of documents) expect(checkValue(schema, value).problems).toEqual([]);
  });

  it.each(samples.filter(isResource))("of a resource in $file is accepted", async ({ file, text }) => {
    const { documents, problems } = await parseResources(text, file);
    const all = [...problems, ...documents.flatMap((document) => document.problems)];
    expect(all.map(formatResourceProblem)).toEqual([]);
  });
});
