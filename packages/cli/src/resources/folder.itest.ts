import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { commitFiles, withFolder } from "./commit.js";
import { ResourceFolder } from "./folder.js";
import { readInput } from "./input.js";
import { segment } from "./segments.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "resources-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const route = (name: string, rest = ""): string =>
  `apiVersion: myelin.dev/v1alpha1\nkind: Route\nmetadata: { name: ${name} }\nspec:\n  match: {}\n  targets: [{ app: ${name} }]\n${rest}`;

async function* of(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

const wanted = (text: string) => readInput(["-"], { recursive: false, stdin: of(text) });
const put = (name: string, text: string): Promise<void> => writeFile(path.join(folder, name), text);
const read = (name: string): Promise<string> => readFile(path.join(folder, name), "utf8");

async function apply(text: string): Promise<string[]> {
  const input = await wanted(text);
  return withFolder(folder, async () => {
    const plan = await (await ResourceFolder.load(folder)).planApply(input);
    await commitFiles(folder, plan.files);
    return plan.changes.map(({ action, name }) => `${name} ${action}`);
  });
}

async function remove(...names: string[]): Promise<void> {
  await withFolder(folder, async () => {
    const all = await ResourceFolder.load(folder);
    const plan = await all.planDelete(names.flatMap((name) => all.find("Route", name)));
    await commitFiles(folder, plan.files);
  });
}

describe("a file in pieces", () => {
  it("is the file again when they are put together, whatever it holds", async () => {
    const piece = fc.constantFrom(
      "---\n",
      "--- # c\n",
      "a: 1\n",
      "# c\n",
      "...\n",
      "b: |\n  x\n",
      "\n",
      "---",
      "x",
      "%YAML 1.2\n",
    );
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 12 }), async (pieces) => {
        const text = pieces.join("");
        const { segments } = await segment(text, "x");
        expect(segments.map((s) => s.text).join("")).toBe(text);
      }),
    );
  });
});

describe("applying", () => {
  it("says what was made, changed, and left as it is", async () => {
    expect(await apply(`${route("a")}---\n${route("b")}`)).toEqual(["a created", "b created"]);
    expect(await apply(`${route("a", "  stop: true\n")}---\n# only a remark\n${route("b")}`)).toEqual([
      "a configured",
      "b unchanged",
    ]);
    expect(await readdir(folder)).toEqual(["route-a.yaml", "route-b.yaml"]);
    expect(await read("route-b.yaml")).toBe(route("b"));
  });

  it("counts a default that is written out, another order of keys and other comments as unchanged", async () => {
    await apply(route("a"));
    expect(await apply(route("a", "  order: 100 # the default\n"))).toEqual(["a unchanged"]);
  });

  it("sees a changed label", async () => {
    await apply(route("a"));
    expect(await apply(route("a").replace("name: a", "name: a, labels: { x: y }"))).toEqual(["a configured"]);
  });

  it("changes one document of a file and keeps the others to the byte", async () => {
    const head = `# the first one\n${route("a", "# its end\n")}`;
    const tail = `--- # third\n# remark of c\n${route("c")}\n\n`;
    await put("all.yaml", `${head}---\n# remark of b\n${route("b")}${tail}`);
    expect(await apply(`# new remark\n${route("b", "  stop: true\n")}`)).toEqual(["b configured"]);
    expect(await read("all.yaml")).toBe(`${head}---\n# new remark\n${route("b", "  stop: true\n")}${tail}`);
    await remove("b");
    expect(await read("all.yaml")).toBe(head + tail);
  });

  it("takes back what was printed, with what was said of it left out and comments kept", async () => {
    await apply(route("a"));
    const printed = route("a", "  stop: true # mine\nstatus: { conditions: [] }\n").replace(
      "name: a",
      "name: a, generation: 5",
    );
    expect(await apply(printed)).toEqual(["a configured"]);
    const text = await read("route-a.yaml");
    expect(text).toContain("stop: true # mine");
    expect(text).not.toMatch(/status|generation/);
  });

  it("takes lists and JSON, and writes YAML", async () => {
    const item = (name: string) => ({
      apiVersion: "myelin.dev/v1alpha1",
      kind: "Route",
      metadata: { name, generation: 3 },
      spec: { match: {}, targets: [{ app: "x" }] },
      status: {},
    });
    const text = JSON.stringify({ apiVersion: "v1", kind: "List", items: [item("a"), item("b")] });
    expect(await apply(text)).toEqual(["a created", "b created"]);
    expect(await read("route-a.yaml")).toMatch(/^apiVersion: myelin/);
  });

  it("changes nothing when one of several is wrong, and names file, path, value and rule", async () => {
    const bad = `${route("a")}---\n${route("b", "  order: first\n")}`;
    await expect(apply(bad)).rejects.toMatchObject({
      code: "config.invalid_resource",
      message: expect.stringContaining('(standard input):14: spec.order: "first" must be a whole number'),
    });
    expect(await readdir(folder)).toEqual([]);
  });

  it("refuses a name that is given twice", async () => {
    await expect(apply(`${route("a")}---\n${route("a")}`)).rejects.toMatchObject({
      code: "config.invalid_resource",
    });
    await put("1.yaml", route("a"));
    await put("2.yaml", route("a"));
    await expect(apply(route("a", "  stop: true\n"))).rejects.toThrow(/1\.yaml:1 and 2\.yaml:1/);
  });

  it("refuses to change a file that would not be in force, and mends one that is wrong", async () => {
    await put("all.yaml", `${route("a")}---\n${route("b", "  order: x\n")}`);
    await expect(apply(route("a", "  stop: true\n"))).rejects.toThrow(/all\.yaml:.*spec\.order/);
    expect(await apply(route("b"))).toEqual(["b configured"]);
    expect(await apply(route("a", "  stop: true\n"))).toEqual(["a configured"]);
  });

  it("leaves what it cannot cut out to an editor", async () => {
    const text = `${route("a")}...\n${route("b")}`;
    await put("all.yaml", text);
    await expect(apply(route("a", "  stop: true\n"))).rejects.toThrow(/needs an editor/);
    expect(await read("all.yaml")).toBe(text);
  });

  it("keeps every other document as it is, wherever they lie", async () => {
    const name = fc.constantFrom("a", "b", "c", "d");
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(name, { minLength: 1 }), name, async (names, changed) => {
        await rm(folder, { recursive: true, force: true });
        await withFolder(folder, async () => undefined);
        await put("all.yaml", names.map((n) => `# of ${n}\n${route(n)}`).join("---\n"));
        await apply(route(changed, "  stop: true\n"));
        const all = await ResourceFolder.load(folder);
        expect(all.problems).toEqual([]);
        for (const n of new Set([...names, changed])) {
          const [one, ...more] = all.find("Route", n);
          expect(more).toEqual([]);
          expect(one?.resource?.spec).toMatchObject({ stop: n === changed });
          if (n !== changed) expect(one?.text).toBe(`# of ${n}\n${route(n)}`);
        }
      }),
      { numRuns: 30 },
    );
  });
});

describe("deleting", () => {
  it("takes a file away with its last document, remarks and all", async () => {
    await put("all.yaml", `# remark\n---\n${route("a")}`);
    await remove("a");
    expect(await readdir(folder)).toEqual([]);
  });

  it("works in a file that is refused for something else", async () => {
    await put("all.yaml", `${route("a")}---\n${route("b", "  order: x\n")}`);
    await remove("b");
    expect(await read("all.yaml")).toBe(route("a"));
  });
});

describe("a change of several files", () => {
  it("is finished by the next command when the one that decided it has died", async () => {
    await put("old.yaml", route("old"));
    const decided = path.join(folder, ".myelin-apply");
    await withFolder(folder, async () => undefined);
    await mkdir(decided);
    await writeFile(path.join(decided, "b.yaml"), route("b"));
    await writeFile(
      path.join(decided, "manifest.json"),
      JSON.stringify({ write: ["a.yaml", "b.yaml"], remove: ["old.yaml"] }),
    );
    await put("a.yaml", route("a"));
    await withFolder(folder, async () => undefined);
    expect((await readdir(folder)).sort()).toEqual(["a.yaml", "b.yaml"]);
  });

  it("is forgotten when it was not decided", async () => {
    await mkdir(path.join(folder, ".myelin-apply.prepared"));
    await writeFile(path.join(folder, ".myelin-apply.prepared", "a.yaml"), "half");
    expect(await apply(route("b"))).toEqual(["b created"]);
    expect(await readdir(folder)).toEqual(["route-b.yaml"]);
  });

  it("does not wait for a command that has died", async () => {
    await put(".myelin-apply.lock", "999999999");
    expect(await apply(route("b"))).toEqual(["b created"]);
  });

  it("is made by one command at a time", async () => {
    const names = Array.from({ length: 8 }, (_, i) => `r${i}`);
    await put("all.yaml", names.map((n) => route(n)).join("---\n"));
    await Promise.all(names.map((n) => apply(route(n, "  stop: true\n"))));
    const all = await ResourceFolder.load(folder);
    expect(
      all.documents.map(({ resource }) => (resource?.spec as { stop?: boolean } | undefined)?.stop),
    ).toEqual(names.map(() => true));
  });
});
