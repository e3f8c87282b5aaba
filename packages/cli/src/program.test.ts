import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { runCommand } from "./program.js";

const facts = { version: "1.2.3", natsServer: "nats-server", command: "myelin" };
let out = "";
let err = "";

beforeEach(() => {
  out = "";
  err = "";
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    out += text;
    return true;
  });
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    err += text;
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
});

const run = (...args: string[]) => runCommand(["node", "myelin", ...args], facts);

describe("the command line", () => {
  it("answers help and version with 0", async () => {
    expect(await run("--help")).toBe(0);
    for (const verb of ["up", "send", "tail", "ledger", "doctor", "reset", "listener", "complete"]) {
      expect(out).toMatch(new RegExp(`^  ${verb}\\b`, "m"));
    }
    expect(out).toContain("source <(myelin complete bash)");
    expect(out).not.toMatch(/^ {2}core\b/m);
    out = "";
    expect(await run("--version")).toBe(0);
    expect(out).toBe("1.2.3\n");
  });

  it.each([
    [["tial"], "Did you mean tail?"],
    [["tail", "--devise", "x"], "Did you mean --device?"],
    [["up", "--durability", "fast"], "strict, balanced"],
    [["up", "--port-offset", "1e9"], "A whole number from -1882 to 56118"],
    [["up", "--max-store", "1MiB"], "A size from 64MiB to 1024TiB is needed, such as 8GiB."],
    [["up", "--max-store", "8 GB"], "A size from"],
    [["send", "d1"], "path"],
    [["tail", "extra"], "too many arguments"],
  ])("ends %j with 64 and says %j", async (args, hint) => {
    expect(await run(...args)).toBe(64);
    expect(err).toContain(hint);
    expect(err).not.toMatch(/^\s+at /m);
    expect(out).toBe("");
  });

  it.each(["bash", "zsh", "fish"])("prints a completion script for %s", async (shell) => {
    const log = vi.spyOn(console, "log").mockImplementation((text) => {
      out += text;
    });
    expect(await run("complete", shell)).toBe(0);
    log.mockRestore();
    expect(out).toContain("myelin complete --");
  });

  it("completes verbs, options and their choices", async () => {
    const log = vi.spyOn(console, "log").mockImplementation((text) => {
      out += `${text}\n`;
    });
    expect(await run("complete", "--", "t")).toBe(0);
    expect(out).toMatch(/^tail\t/m);
    out = "";
    expect(await run("complete", "--", "send", "--protocol", "")).toBe(0);
    log.mockRestore();
    expect(out.split("\n", 5).map((line) => line.trim())).toEqual([
      "http",
      "mqtt",
      "websocket",
      "tcp",
      "udp",
    ]);
  });
});

describe("a verb that cannot do its work", () => {
  it("ends with 69 and one sentence when no box runs", async () => {
    expect(await run("ledger", "--data-dir", "/nonexistent")).toBe(69);
    expect(err).toMatch(/^\S*myelin:\S* No box runs on \/nonexistent\. [^\n]+\n$/);
  });

  it("ends with 69 and one sentence when the folder is a file or cannot be read", async () => {
    expect(await run("ledger", "--data-dir", "/dev/null/x")).toBe(69);
    expect(err).toContain("No box runs on /dev/null/x.");
    err = "";
    // Longer than any name may be.
    expect(await run("ledger", "--data-dir", "x".repeat(300))).toBe(69);
    expect(err).toMatch(
      /^\S*myelin:\S* Whether a box runs on [^\n]+ cannot be found out: ENAMETOOLONG[^\n]+\n$/,
    );
  });

  it("gives the same as JSON when asked to", async () => {
    expect(await run("ledger", "--json", "--data-dir", "/nonexistent")).toBe(69);
    expect(JSON.parse(out)).toMatchObject({ error: { code: "setup.not_running" } });
    expect(err).toBe("");
  });

  it("ends with 78 for settings that cannot be", async () => {
    expect(await run("tail", "--topic", "a/#/b", "--data-dir", "/nonexistent")).toBe(78);
    expect(err).toContain('"a/#/b" is not a topic filter');
    expect(await run("tail", "--protocol", "smtp")).toBe(78);
    expect(err).toContain('Unknown protocol "smtp"; known are mqtt');
    for (const bad of [":::", "http://x", "nats://a:b:c", "nats://"]) {
      err = "";
      expect(await run("ledger", "--nats", bad)).toBe(78);
      expect(err).toMatch(/^\S*myelin:\S* --nats needs an address [^\n]+\n$/);
    }
  });
});
