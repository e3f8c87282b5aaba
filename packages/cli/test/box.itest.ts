import { spawn } from "node:child_process";
import { once } from "node:events";
import { access, chmod, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { requires, type TempDir, tempDir, waitFor } from "@myelin/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { BoxFile } from "../src/box/box-file.js";
import { BOX_PORTS } from "../src/box/layout.js";
import { freeOffset, isBack, MAIN, myelin, run, startBox, type TestBox } from "./support/box.js";

/** One sentence, not a stack. */
const SENTENCE = /^myelin: [^\n]+\n$/;

describe("a box", () => {
  let box: TestBox;
  beforeAll(async () => {
    box = await startBox(["--workers", "2"]);
  });
  afterAll(async () => {
    await box[Symbol.asyncDispose]();
  });

  it.each(["nats-server", "core", "listener-0", "listener-1"])(
    "brings %s back after SIGKILL, and says so once",
    async (name) => {
      const pid = (await box.state()).processes.find((child) => child.name === name)?.pid as number;
      process.kill(pid, "SIGKILL");
      await isBack(box, name, pid);
      const said = box.process
        .log()
        .split("\n")
        .filter((line) => line.includes(`${name} `));
      expect(said).toHaveLength(2);
      // How long that takes is a figure of the bench: recovery.
      expect(said[1]).toMatch(/back after [\d.]+ s/);
    },
  );

  it("takes events again after all that, and has lost none", async () => {
    const { dataDir } = box;
    await waitFor(async () => (await myelin(["send", "d1", "a/b", "1", "--data-dir", dataDir])).code === 0, {
      what: "an event to be stored",
      deadlineMs: 15_000,
    });
    const ledger = await waitFor(
      async () => {
        const { code, stdout } = await myelin(["ledger", "--json", "--data-dir", dataDir]);
        return code === 0 && stdout;
      },
      { what: "books without a gap", deadlineMs: 15_000 },
    );
    expect(JSON.parse(ledger)).toMatchObject({ unaccounted: 0 });
  });
});

describe("a start that cannot be", () => {
  let dir: TempDir;
  beforeEach(async () => {
    dir = await tempDir("cli");
  });
  afterEach(async () => {
    await dir[Symbol.asyncDispose]();
  });

  const up = async (...args: string[]) =>
    myelin(["up", "--data-dir", dir.join("data"), "--port-offset", String(await freeOffset()), ...args]);

  it("names a nats-server that is not there", async () => {
    const { code, stderr, stdout } = await up("--nats-server", dir.join("none"));
    expect([code, stdout]).toEqual([69, ""]);
    expect(stderr).toMatch(SENTENCE);
    expect(stderr).toContain(`nats-server (${dir.join("none")}) is not there. Run npm start`);
  });

  it.each([
    ["nats-server: v2.10.7", "nats-server 2.10.7"],
    ["gnatsd 1", "does not look like nats-server"],
  ])("refuses one that says %j", async (version, hint) => {
    const file = dir.join("nats-server");
    await writeFile(file, `#!/bin/sh\necho '${version}'\n`);
    await chmod(file, 0o755);
    const { code, stderr } = await up("--nats-server", file);
    expect(code).toBe(69);
    expect(stderr).toMatch(SENTENCE);
    expect(stderr).toContain(hint);
  });

  it("names a port that another program has", async () => {
    const offset = await freeOffset();
    const other = createServer().listen(1883 + offset, "127.0.0.1");
    await once(other, "listening");
    const { code, stderr } = await up("--port-offset", String(offset));
    other.close();
    expect(code).toBe(69);
    expect(stderr).toMatch(SENTENCE);
    expect(stderr).toContain(`Port ${1883 + offset} (MQTT) is in use`);
  });

  it.each(["-1883", "56119"])("refuses the offset %s, which moves a port out of range", async (offset) => {
    const { code, stdout, stderr } = await up("--port-offset", offset);
    expect([code, stdout]).toEqual([64, ""]);
    expect(stderr).toContain(`'${offset}' is invalid. A whole number from -1882 to 56118 is needed.`);
  });

  it("does not wait for a disk that hangs", async () => {
    await mkdir(dir.join("data/run"), { recursive: true });
    // Reading a pipe that nobody writes to hangs as a dead network disk does.
    await run("mkfifo", [dir.join("data/run/box.json")]);
    const { code, stderr } = await up();
    expect(code).toBe(69);
    expect(stderr).toMatch(SENTENCE);
    expect(stderr).toContain(
      `${dir.join("data")} ready (choose another one with --data-dir) did not end within`,
    );
  });

  it("is not one because a killed box had the same process id, as in a restarted container", async () => {
    const script = `mkdir -p "$0/run"; echo "{\\"pid\\":$$}" > "$0/run/box.json"; exec "$@"`;
    const args = ["up", "--data-dir", dir.path, "--nats-server", dir.join("none")];
    const { stderr } = await run("sh", ["-c", script, dir.path, process.execPath, MAIN, ...args]);
    expect(stderr).toContain("is not there");
    expect(stderr).not.toContain("runs on");
  });

  it("names a folder that its user may not write", requires.program("setpriv"), async () => {
    const isRoot = process.getuid?.() === 0;
    await chmod(dir.path, 0o755);
    await mkdir(dir.join("data"), { mode: 0o555 });
    const command = [process.execPath, MAIN, "up", "--data-dir", dir.join("data"), "--port-offset", "22500"];
    const asNobody = ["--reuid=65534", "--regid=65534", "--clear-groups", ...command];
    const { code, stderr } = isRoot
      ? await run("setpriv", asNobody)
      : await run(command[0] as string, command.slice(1));
    expect(code).toBe(69);
    expect(stderr).toMatch(SENTENCE);
    expect(stderr).toContain("cannot be written");
  });
});

it("takes less disk at a later start, but never less than what is stored", async () => {
  await using first = await startBox();
  const again = ["--data-dir", first.dataDir, "--max-store"];
  const offset = (await first.state()).ports.http - BOX_PORTS.http;
  await first.process.stop();
  {
    await using second = await startBox([...again, "268435456"]);
    const { http } = JSON.parse(second.process.stdout[0] as string).ports as BoxFile["ports"];
    const url = `http://127.0.0.1:${http}/api/v1/devices/d1/messages/a?lane=event`;
    // Half of what events that no route wants may take of this store.
    for (let i = 0; i < 5; i++) {
      const answer = await fetch(url, { method: "POST", body: Buffer.alloc(1_000_000, "x") });
      expect(answer.status, await answer.text()).toBe(202);
    }
    const unrouted = async (): Promise<boolean> => {
      const { stdout } = await myelin(["ledger", "--json", "--data-dir", first.dataDir]);
      const { rows } = JSON.parse(stdout || '{"rows":[]}') as { rows: { hop: string; stored: number }[] };
      return rows.some(({ hop, stored }) => hop === "route" && stored === 5);
    };
    await waitFor(unrouted, { what: "events to be kept that no route wants", deadlineMs: 30_000 });
    await second.process.stop();
  }
  const { code, stderr } = await myelin(["up", ...again, "64MiB", "--port-offset", String(offset)]);
  expect(code).toBe(69);
  expect(stderr).toMatch(SENTENCE);
  expect(stderr).toMatch(
    /holds 5 MiB, and nats\.maxStore \(--max-store of a box\) of 64 MiB leaves it \d MiB: set at least \d+ MiB/,
  );
});

it("drains and ends all it has started when its terminal is closed", async () => {
  await using box = await startBox();
  expect(await box.process.kill("SIGHUP")).toEqual({ code: 0, signal: null });
  expect(await commandLinesWith(box.dataDir)).toEqual([]);
});

it("is one, when two are started at the same moment", async () => {
  await using dir = await tempDir("cli");
  const args = ["up", "--json", "--data-dir", dir.path, "--port-offset", String(await freeOffset())];
  const both = [0, 1].map(() => {
    const up = spawn(process.execPath, [MAIN, ...args], { stdio: ["ignore", "pipe", "ignore"] });
    return {
      up,
      said: once(up.stdout, "data").then(([chunk]) => JSON.parse(String(chunk))),
      ended: once(up, "exit"),
    };
  });
  const said = await Promise.all(both.map(({ said }) => said));
  for (const { up } of both) up.kill("SIGTERM");
  const codes = (await Promise.all(both.map(({ ended }) => ended))).map(([code]) => code);
  expect(codes.toSorted()).toEqual([0, 69]);
  expect(said[codes.indexOf(0)]).toMatchObject({ ports: expect.anything() });
  expect(said[codes.indexOf(69)]).toMatchObject({ error: { code: "setup.already_running" } });
});

it("runs on when nobody reads what it says any more", async () => {
  await using dir = await tempDir("cli");
  const args = [MAIN, "up", "--json", "--data-dir", dir.path, "--port-offset", String(await freeOffset())];
  const up = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  const ended = once(up, "exit");
  const state = async () => JSON.parse(await readFile(dir.join("run/box.json"), "utf8")) as BoxFile;
  const restarts = async () => (await state().catch(() => undefined))?.processes.at(-1)?.restarts;
  await waitFor(async () => (await restarts()) === 0, { what: "the box", deadlineMs: 20_000 });
  up.stdout.destroy();
  up.stderr.destroy();
  process.kill((await state()).processes.at(-1)?.pid as number, "SIGKILL");
  await waitFor(async () => (await restarts()) === 1, { what: "the restart", deadlineMs: 10_000 });
  up.kill("SIGTERM");
  expect(await ended).toEqual([0, null]);
});

it("ends what it has begun when it is asked to stop in the middle of its start", async () => {
  await using dir = await tempDir("cli");
  const script = `"$@" & pid=$!; while [ ! -f "$0/run/nats.conf" ]; do :; done; kill -TERM $pid; wait $pid`;
  const args = ["up", "--data-dir", dir.path, "--port-offset", String(await freeOffset())];
  const { code } = await run("sh", ["-c", script, dir.path, process.execPath, MAIN, ...args]);
  expect(code).toBe(0);
  expect(await commandLinesWith(dir.path)).toEqual([]);
});

/** Command lines of running processes that contain a text, where the system lists them as files. */
async function commandLinesWith(text: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir("/proc").catch(() => [])) {
    const line = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    if (line.includes(text)) found.push(line.replaceAll("\0", " "));
  }
  return found;
}

it("forgets messages and secrets at a reset, and keeps what the operator wrote", async () => {
  await using box = await startBox();
  const args = ["reset", "--data-dir", box.dataDir];
  expect(await myelin([...args, "--yes"])).toMatchObject({
    code: 69,
    stderr: expect.stringContaining("The box runs"),
  });
  await writeFile(`${box.dataDir}/resources/mine.yaml`, "");
  await box.process.stop();
  expect(await myelin(args)).toMatchObject({ code: 78, stderr: expect.stringContaining("--yes") });
  const { code, stdout } = await myelin([...args, "--yes", "--json"]);
  expect(code).toBe(0);
  expect(JSON.parse(stdout).removed).toContain(`${box.dataDir}/jetstream`);
  await expect(access(`${box.dataDir}/jetstream`)).rejects.toThrow("ENOENT");
  await expect(access(`${box.dataDir}/secrets`)).rejects.toThrow("ENOENT");
  await access(`${box.dataDir}/resources/mine.yaml`);
});

it("adds a listener worker when the others run out of descriptors", async () => {
  const descriptors = 300;
  await using box = await startBox(["--workers", "1"], `ulimit -n ${descriptors};`);
  const { mqtt } = (await box.state()).ports;
  const open = new Set<Socket>();
  const more = async (): Promise<boolean> => {
    const socket = connect(mqtt, "127.0.0.1");
    socket.on("error", () => {});
    // A connection that nobody has accepted when a full worker closes its port is reset by the system.
    socket.once("close", () => open.delete(socket));
    const connected = once(socket, "connect").then(() => true);
    const refused = once(socket, "close").then(() => false);
    const taken = await Promise.race([connected, refused]).catch(() => false);
    if (taken) open.add(socket);
    return taken;
  };
  // More than one process can hold; while all are full the port is closed, and the client tries again.
  await waitFor(
    async () => {
      while (open.size < descriptors + 50 && (await more()));
      const names = (await box.state()).processes.map((child) => child.name);
      return names.includes("listener-1") && open.size >= descriptors + 50;
    },
    { what: "more connections than one worker holds", deadlineMs: 9_000 },
  );
  expect(box.process.log()).toContain("listener-1 was added");
  for (const socket of open) socket.destroy();
});
