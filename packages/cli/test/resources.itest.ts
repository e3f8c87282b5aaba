/** Resources of a box that runs: what its processes say of them, and what they refuse. */
import { readdir, writeFile } from "node:fs/promises";
import { waitFor } from "@myelin/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { myelin, startBox, type TestBox } from "./support/box.js";

let box: TestBox;
beforeAll(async () => {
  box = await startBox();
});
afterAll(async () => {
  await box[Symbol.asyncDispose]();
});

const on = (...args: string[]) => myelin([...args, "--data-dir", box.dataDir]);
const route = (name: string, spec: string): string =>
  `apiVersion: myelin.dev/v1alpha1\nkind: Route\nmetadata: { name: ${name} }\nspec:\n  match: {}\n  targets: [{ app: a }]\n${spec}`;

async function put(text: string): Promise<string> {
  const file = `${box.dataDir}/input.yaml`;
  await writeFile(file, text);
  return file;
}

interface Shown {
  readonly metadata: { readonly generation: number };
  readonly status: {
    readonly conditions: readonly {
      type: string;
      status: string;
      observedGeneration: number;
      message: string;
    }[];
  };
}

async function conditions(name: string): Promise<Record<string, string>> {
  const { status, metadata } = JSON.parse((await on("get", "route", name, "-o", "json")).stdout) as Shown;
  const current = status.conditions.map((c) => [
    c.type,
    c.observedGeneration === metadata.generation ? c.status : `${c.status} of an earlier one`,
  ]);
  return Object.fromEntries(current) as Record<string, string>;
}

const stands = (name: string, wanted: Record<string, string>) =>
  waitFor(async () => JSON.stringify(await conditions(name)) === JSON.stringify(wanted), {
    what: `${name} to be ${JSON.stringify(wanted)}`,
    deadlineMs: 30_000,
  });

it("tells of a route that it is in force, then that an edit was refused and the earlier one still is", async () => {
  expect(await on("apply", "-f", await put(route("good", "")))).toMatchObject({ code: 0, stderr: "" });
  await stands("good", { Accepted: "True", Ready: "True" });
  // Past every check of ours, as an editor would.
  await writeFile(`${box.dataDir}/resources/route-good.yaml`, route("good", "  order: first\n"));
  await stands("good", { Accepted: "False", Ready: "True of an earlier one" });
  expect((await on("describe", "route", "good")).stdout).toContain("spec.order");
  await on("apply", "-f", await put(route("good", "  stop: true\n")));
  await stands("good", { Accepted: "True", Ready: "True" });
});

it("refuses what only the process that acts on it can know to be wrong, and leaves the folder as it is", async () => {
  const before = await readdir(`${box.dataDir}/resources`);
  const missing =
    "  transform: [{ codec: protobuf, to: json, protobuf: { file: no.proto, message: a.B } }]\n";
  const input = await put(`${route("fine", "")}---\n${route("broken", missing)}`);
  const { code, stderr } = await on("apply", "-f", input);
  expect(code).toBe(78);
  expect(stderr).toContain("Route broken: ");
  expect(stderr).toContain("no.proto");
  expect(await readdir(`${box.dataDir}/resources`)).toEqual(before);
});
