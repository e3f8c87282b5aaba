import { mkdir, mkdtemp, rename, rm, symlink, truncate, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { FileResourceSource } from "./file-source.js";
import { type ResourceStatus, resourcesOf, type Snapshot } from "./resource.js";

const route = (name: string, app: string, more = "") =>
  `apiVersion: myelin.dev/v1alpha1\nkind: Route\nmetadata: { name: ${name} }\nspec: { targets: [{ app: ${app} }]${more} }\n`;

// Each wait ends by an event of the source; the test's own time limit is the deadline.
async function openDirectory(options: { missing?: boolean; rescanMs?: number } = {}) {
  const root = await mkdtemp(join(tmpdir(), "resources-"));
  const directory = join(root, "live");
  if (options.missing !== true) await mkdir(directory);
  const statusWaiters = new Set<() => void>();
  const source = new FileResourceSource({
    directory,
    rescanMs: options.rescanMs ?? 200,
    onStatusChange: () => {
      for (const check of statusWaiters) check();
    },
  });
  const aborter = new AbortController();
  const snapshots = source.watch(aborter.signal)[Symbol.asyncIterator]();
  // The source looks for changes only while it is read, so one read is always under way.
  let pending = snapshots.next();
  const next = async (): Promise<Snapshot> => {
    const { value } = await pending;
    pending = snapshots.next();
    return value as Snapshot;
  };
  const untilStatus = (wanted: (statuses: readonly ResourceStatus[]) => boolean): Promise<void> =>
    new Promise((resolve) => {
      const check = (): void => {
        if (!wanted(source.statuses())) return;
        statusWaiters.delete(check);
        resolve();
      };
      statusWaiters.add(check);
      check();
    });
  return {
    root,
    directory,
    source,
    next,
    untilStatus,
    path: (name: string) => join(directory, name),
    put: (name: string, text: string) => writeFile(join(directory, name), text),
    end: async () => {
      aborter.abort();
      return await pending;
    },
    async [Symbol.asyncDispose]() {
      aborter.abort();
      await pending;
      await rm(root, { recursive: true });
    },
  };
}

const shown = (snapshot: Snapshot) =>
  resourcesOf(snapshot, "Route").map((r) => `${r.metadata.name}>${r.spec.targets.map((t) => t.app).join()}`);

describe("FileResourceSource", () => {
  it("yields what is there, then each change, and ends with its signal", async () => {
    await using dir = await openDirectory();
    expect(shown(await dir.next())).toEqual([]);
    await dir.put("b.yaml", route("b", "one"));
    expect(shown(await dir.next())).toEqual(["b>one"]);
    await dir.put("a.yml", `${route("a1", "x")}---\n${route("a2", "y")}`);
    const both = await dir.next();
    expect([shown(both), both.revision]).toEqual([["a1>x", "a2>y", "b>one"], 3]);
    await unlink(dir.path("b.yaml"));
    expect(shown(await dir.next())).toEqual(["a1>x", "a2>y"]);
    expect(await dir.end()).toEqual({ done: true, value: undefined });
  });

  it("learns of an edit from the file system and does not wait for the regular look", async () => {
    await using dir = await openDirectory({ rescanMs: 10_000_000 });
    expect(shown(await dir.next())).toEqual([]);
    await dir.put("a.yaml", route("a", "one"));
    expect(shown(await dir.next())).toEqual(["a>one"]);
  });

  it("keeps the last good state of a file that is edited badly, and of that file only", async () => {
    await using dir = await openDirectory();
    await dir.put("a.yaml", route("a", "one"));
    await dir.put("b.yaml", route("b", "one"));
    let snapshot = await dir.next();
    while (shown(snapshot).length < 2) snapshot = await dir.next();
    await dir.put("a.yaml", route("a", "two", ", order: first"));
    await dir.untilStatus((s) => s.some((r) => r.state === "stale"));
    expect(dir.source.statuses()).toMatchObject([
      {
        kind: "Route",
        name: "a",
        source: "a.yaml",
        state: "stale",
        problems: [
          {
            source: "a.yaml",
            line: 4,
            path: "spec.order",
            value: '"first"',
            rule: "a whole number from 0 to 1000000",
          },
        ],
      },
      { kind: "Route", name: "b", source: "b.yaml", state: "active", problems: [] },
    ]);
    await dir.put("b.yaml", route("b", "two"));
    expect(shown(await dir.next())).toEqual(["a>one", "b>two"]);
    await dir.put("a.yaml", route("a", "three"));
    expect(shown(await dir.next())).toEqual(["a>three", "b>two"]);
    expect(dir.source.statuses().map((s) => s.state)).toEqual(["active", "active"]);
  });

  it("refuses a file that was never good and says where", async () => {
    await using dir = await openDirectory();
    await dir.next();
    await dir.put("a.yaml", "kind: [\n");
    await dir.untilStatus((s) => s.length > 0);
    expect(dir.source.statuses()).toMatchObject([
      {
        kind: "",
        name: "",
        source: "a.yaml",
        state: "refused",
        problems: [{ source: "a.yaml", path: "(file)" }],
      },
    ]);
  });

  it("gives a name to the first file that has it and refuses the second", async () => {
    await using dir = await openDirectory();
    expect(shown(await dir.next())).toEqual([]);
    await dir.put("a.yaml", route("same", "one"));
    await dir.put("b.yaml", route("same", "two"));
    expect(shown(await dir.next())).toEqual(["same>one"]);
    await dir.untilStatus((s) => s.some((r) => r.source === "b.yaml" && r.state === "refused"));
    await unlink(dir.path("a.yaml"));
    expect(shown(await dir.next())).toEqual(["same>two"]);
  });

  it("follows editors that write beside and rename, and sees none of their other files", async () => {
    await using dir = await openDirectory();
    expect(shown(await dir.next())).toEqual([]);
    await dir.put("a.yaml", route("a", "one"));
    expect(shown(await dir.next())).toEqual(["a>one"]);
    for (const name of [".a.yaml.swp", "a.yaml~", "#a.yaml#", "a.yaml.tmp", ".hidden.yaml"])
      await dir.put(name, "kind: [");
    await dir.put("a.yaml.new", route("a", "two"));
    await rename(dir.path("a.yaml.new"), dir.path("a.yaml"));
    expect(shown(await dir.next())).toEqual(["a>two"]);
    expect(dir.source.statuses()).toHaveLength(1);
  });

  it("does not take a file that is emptied before it is written for an empty one", async () => {
    await using dir = await openDirectory();
    expect(shown(await dir.next())).toEqual([]);
    await dir.put("a.yaml", route("a", "one"));
    await dir.next();
    await truncate(dir.path("a.yaml"));
    // Another file's change proves that the directory was looked at while the file was empty.
    await dir.put("b.yaml", route("b", "one"));
    expect(shown(await dir.next())).toEqual(["a>one", "b>one"]);
    await dir.put("a.yaml", route("a", "two"));
    expect(shown(await dir.next())).toEqual(["a>two", "b>one"]);
    await truncate(dir.path("a.yaml"));
    expect(shown(await dir.next())).toEqual(["b>one"]);
  });

  it("follows the links of a mounted config map", async () => {
    await using dir = await openDirectory();
    for (const version of ["v1", "v2"]) {
      await mkdir(dir.path(`..${version}`));
      await dir.put(join(`..${version}`, "a.yaml"), route("a", version));
    }
    await symlink("..v1", dir.path("..data"));
    await symlink(join("..data", "a.yaml"), dir.path("a.yaml"));
    let snapshot = await dir.next();
    while (shown(snapshot).length === 0) snapshot = await dir.next();
    expect(shown(snapshot)).toEqual(["a>v1"]);
    await symlink("..v2", dir.path("..data_tmp"));
    await rename(dir.path("..data_tmp"), dir.path("..data"));
    expect(shown(await dir.next())).toEqual(["a>v2"]);
  });

  it("waits for a directory that comes later and keeps everything when it goes", async () => {
    await using dir = await openDirectory({ missing: true });
    expect(shown(await dir.next())).toEqual([]);
    expect(dir.source.statuses()).toMatchObject([{ problems: [{ value: "ENOENT", rule: "readable" }] }]);
    await mkdir(dir.directory);
    await dir.put("a.yaml", route("a", "one"));
    expect(shown(await dir.next())).toEqual(["a>one"]);
    await rename(dir.directory, join(dir.root, "away"));
    await dir.untilStatus((s) => s.length === 2);
    await mkdir(dir.directory);
    await dir.put("a.yaml", route("a", "two"));
    expect(shown(await dir.next())).toEqual(["a>two"]);
  });
});
