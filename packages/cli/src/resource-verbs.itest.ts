/** The verbs for resources on the folder of a box that does not run. */
import { readFile, writeFile } from "node:fs/promises";
import { type TempDir, tempDir } from "@myelin/testkit";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { runCommand } from "./program.js";

const ROUTE = `# the boiler
apiVersion: myelin.dev/v1alpha1
kind: Route
metadata: { name: boiler }
spec:
  match: { topics: ["plant/#"] }
  targets: [{ app: climate }]
`;
const facts = { version: "1.2.3", natsServer: "nats-server", command: "myelin" };
let out = "";
let err = "";
let dir: TempDir;
let file: string;

beforeEach(async () => {
  out = "";
  err = "";
  dir = await tempDir("verbs");
  file = dir.join("boiler.yaml");
  await writeFile(file, ROUTE);
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    out += text;
    return true;
  });
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    err += text;
    return true;
  });
});
afterEach(async () => {
  vi.restoreAllMocks();
  await dir[Symbol.asyncDispose]();
});

async function myelin(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  out = "";
  err = "";
  const code = await runCommand(["node", "myelin", ...args, "--data-dir", dir.join("data")], facts);
  return { code, out, err };
}

describe("apply", () => {
  it("says created, unchanged and configured, and that nobody else could be asked", async () => {
    const first = await myelin("apply", "-f", file);
    expect(first).toMatchObject({ code: 0, out: "route.myelin.dev/boiler created\n" });
    expect(first.err).toContain("checked by this program alone");
    expect((await myelin("apply", "-f", file)).out).toBe("route.myelin.dev/boiler unchanged\n");
    await writeFile(file, ROUTE.replace("climate", "other"));
    expect((await myelin("apply", "-f", file, "--json")).out).toBe(
      '{"kind":"Route","name":"boiler","action":"configured","file":"route-boiler.yaml","dryRun":false}\n',
    );
    expect(await readFile(dir.join("data/resources/route-boiler.yaml"), "utf8")).toContain("# the boiler");
  });

  it("changes nothing in a dry run", async () => {
    expect((await myelin("apply", "-f", file, "--dry-run")).out).toContain("created (dry run)");
    expect((await myelin("get", "all", "-o", "name")).out).toBe("");
  });

  it("refuses with file, line, path, value and rule, and exit code 78", async () => {
    await writeFile(file, ROUTE.replace("app: climate", "app: 7"));
    const { code, err: text } = await myelin("apply", "-f", file);
    expect(code).toBe(78);
    expect(text).toContain(`${file}:7: spec.targets[0].app: 7 must be text`);
  });

  it("needs to be told what", async () => {
    expect(await myelin("apply")).toMatchObject({ code: 78, err: expect.stringContaining("-f FILE") });
  });
});

describe("diff", () => {
  it("ends with 1 and shows what would change, and with 0 when nothing would", async () => {
    expect(await myelin("diff", "-f", file)).toMatchObject({ code: 1 });
    await myelin("apply", "-f", file);
    expect(await myelin("diff", "-f", file)).toMatchObject({ code: 0, out: "" });
    await writeFile(file, ROUTE.replace("climate", "other"));
    const { code, out: text } = await myelin("diff", "-f", file);
    expect(code).toBe(1);
    expect(text).toMatch(/^- {4}- app: climate\n\+ {4}- app: other$/m);
  });
});

describe("get, describe and delete", () => {
  beforeEach(() => myelin("apply", "-f", file));

  it("print what apply takes back", async () => {
    await writeFile(file, (await myelin("get", "route", "boiler", "-o", "yaml")).out);
    expect((await myelin("apply", "-f", file)).out).toContain("unchanged");
    await writeFile(file, (await myelin("get", "routes", "-o", "json")).out);
    expect((await myelin("apply", "-f", file)).out).toContain("unchanged");
  });

  it("know kinds by singular, plural and any case, and resources by kind and name", async () => {
    for (const words of [["Route"], ["routes"], ["route/boiler"], ["ROUTES.myelin.dev", "boiler"], ["all"]])
      expect((await myelin("get", ...words, "-o", "name")).out).toBe("route.myelin.dev/boiler\n");
    expect(await myelin("get", "rout")).toMatchObject({ code: 78, err: expect.stringContaining("Route") });
  });

  it("show where it is declared and what is known of it", async () => {
    expect((await myelin("get", "routes")).out).toMatch(/boiler.*100.*Unknown.*route-boiler\.yaml:2/);
    expect((await myelin("describe", "route", "boiler")).out).toMatch(/topics:\s+- plant\/#/);
  });

  it("take it out once, and say so when it is not there", async () => {
    expect((await myelin("delete", "route", "boiler")).out).toBe("route.myelin.dev/boiler deleted\n");
    const again = await myelin("delete", "route", "boiler");
    expect(again).toMatchObject({
      code: 1,
      err: expect.stringContaining("There is no route.myelin.dev/boiler"),
    });
    expect(await myelin("delete", "-f", file, "--ignore-not-found")).toMatchObject({ code: 0 });
    expect(await myelin("get", "route", "boiler")).toMatchObject({ code: 1 });
  });

  it("delete all of a kind only when told so", async () => {
    expect(await myelin("delete", "routes")).toMatchObject({ code: 78 });
    expect((await myelin("delete", "routes", "--all")).out).toContain("deleted");
  });

  it("are completed with kinds and names", async () => {
    const log = vi.spyOn(console, "log").mockImplementation((text) => {
      out += `${text}\n`;
    });
    const complete = async (...words: string[]) => {
      out = "";
      const args = [
        "complete",
        "--",
        ...words.slice(0, -1),
        "--data-dir",
        dir.join("data"),
        words.at(-1) as string,
      ];
      await runCommand(["node", "myelin", ...args], facts);
      return out;
    };
    expect(await complete("get", "ro")).toMatch(/^routes\t/m);
    expect(await complete("get", "route/")).toMatch(/^route\/boiler\t/m);
    expect(await complete("describe", "route", "")).toMatch(/^boiler\t/m);
    expect(await complete("delete", "bridges", "")).not.toContain("boiler");
    expect(await complete("explain", "route.spec.tar")).toMatch(/^route\.spec\.targets\t/m);
    log.mockRestore();
  });
});

describe("explain", () => {
  it("says type, bounds, default and meaning of a field", async () => {
    const { out: text } = await myelin("explain", "route.spec.order");
    expect(text).toMatch(/spec\.order <integer>\n {2}default: 100\n {2}0 to 1000000\n/);
    expect(text).toContain("Routes are tried by growing order");
  });

  it("goes through lists and mappings, and lists what there is where a field is not known", async () => {
    expect((await myelin("explain", "routes.spec.targets[0].device.ttl")).out).toContain("<duration>");
    expect((await myelin("explain", "route.spec.match.headers.site")).out).toContain("<string>");
    expect(await myelin("explain", "route.spec.target")).toMatchObject({
      code: 78,
      err: expect.stringContaining("targets"),
    });
  });
});
