import { createSocket } from "node:dgram";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { stripVTControlCharacters } from "node:util";
import { McpClient } from "@myelin/sdk-node";
import { freePort, ManagedProcess, tempDir, waitFor } from "@myelin/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freeOffset, MAIN, myelin, run, startBox, type TestBox } from "./support/box.js";

let box: TestBox;
beforeAll(async () => {
  // Not the usual number, so that a tool that takes it for granted fails.
  box = await startBox(["--partitions", "3"]);
});
afterAll(async () => {
  await box[Symbol.asyncDispose]();
});

const on = (...args: string[]) => myelin([...args, "--data-dir", box.dataDir]);

/** A `tail` that listens, with what it has printed. */
async function tail(args: readonly string[], env: Record<string, string> = {}) {
  const tailing = new ManagedProcess({
    name: "tail",
    command: process.execPath,
    args: [MAIN, "tail", "--data-dir", box.dataDir, ...args],
    env,
    stopSignal: "SIGINT",
  });
  await tailing.start();
  return tailing;
}

/** Sends until the tail has been heard of by the dispatcher and shows something. */
async function sendUntil(
  tailing: ManagedProcess,
  lines: number,
  ...sends: readonly string[][]
): Promise<void> {
  await waitFor(
    async () => {
      for (const args of sends) await on("send", ...args);
      return tailing.stdout.length >= lines;
    },
    { what: `${lines} lines of tail`, deadlineMs: 20_000 },
  );
}

describe("send", () => {
  it.each([
    ["http", "event", "stored"],
    ["http", "telemetry", "taken"],
    ["mqtt", "event", "stored"],
    ["mqtt", "telemetry", "sent"],
    ["websocket", "event", "stored"],
    ["websocket", "telemetry", "sent"],
    ["tcp", "event", "stored"],
    ["tcp", "telemetry", "sent"],
    ["udp", "event", "stored"],
    ["udp", "telemetry", "sent"],
  ])("speaks %s on the %s lane", async (protocol, lane, outcome) => {
    const { code, stdout, stderr } = await on(
      ...["send", `sender-${protocol}`, "room/temp", '{"t":1}'],
      ...["--protocol", protocol, "--lane", lane, "--json"],
    );
    expect([code, stderr]).toEqual([0, ""]);
    expect(JSON.parse(stdout)).toMatchObject({ device: `sender-${protocol}`, bytes: 7, outcome });
  });

  it("reaches a connected device without knowing the number of partitions", async () => {
    const { mcpTcp } = (await box.state()).ports;
    const got: string[] = [];
    const device = new McpClient({ url: `tcp://127.0.0.1:${mcpTcp}`, deviceId: "lamp-7" });
    device.onMessage(
      (message) => void got.push(`${message.type} ${Buffer.from(message.payload).toString()}`),
    );
    await device.start(AbortSignal.timeout(10_000));
    try {
      const sent = await waitFor(
        async () => {
          const result = await on("send", "lamp-7", "set", "on", "--to-device", "--wait");
          return result.code === 0 && result;
        },
        { what: "the device to be known", deadlineMs: 15_000 },
      );
      expect(sent.stderr).toMatch(/^acknowledged by the device after [\d.]+ ms\n$/);
      expect(got).toContain("set on");
    } finally {
      await device.stop();
    }
  });

  it("fails when it shall wait for a device that acknowledges nothing, and says why", async () => {
    const { mqtt } = (await box.state()).ports;
    const { connectAsync } = await import("mqtt");
    const device = await connectAsync({ host: "127.0.0.1", port: mqtt, clientId: "lamp-0" });
    try {
      await device.subscribeAsync("set", { qos: 0 });
      await waitFor(async () => (await on("send", "lamp-0", "set", "on", "--to-device")).code === 0, {
        what: "the device to be known",
        deadlineMs: 15_000,
      });
      const { code, stderr } = await on("send", "lamp-0", "set", "on", "--wait");
      expect(code).toBe(1);
      expect(stderr).toMatch(
        /^written to the device's connection after [\d.]+ ms; it acknowledges nothing,[^\n]*\n$/,
      );
    } finally {
      await device.endAsync();
    }
  });

  it("takes any text for a payload, and no options of the other direction", async () => {
    expect((await on("send", "sender", "room/note", "no JSON")).code).toBe(0);
    const { code, stderr } = await on("send", "lamp-7", "set", "on", "--to-device", "--lane", "event");
    expect([code, stderr]).toEqual([64, expect.stringContaining("--to-device")]);
  });

  it("says that a device is not connected", async () => {
    const { code, stderr } = await on("send", "nobody", "set", "on", "--to-device");
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/^myelin: [^\n]*nobody[^\n]*not connected[^\n]*\n$/);
  });
});

describe("tail", () => {
  it("shows what its filters let through, and ends after a count", async () => {
    const filters = ["--device", "d-*", "--topic", "room/+/temp", "--protocol", "http", "--count", "2"];
    await using tailing = await tail(["--json", ...filters]);
    await sendUntil(
      tailing,
      2,
      ["d-1", "room/a/temp", "1"],
      ["d-1", "room/a/humidity", "2"],
      ["e-1", "room/a/temp", "3"],
      ["d-1", "room/a/temp", "4", "--protocol", "mqtt"],
    );
    expect(await tailing.exited).toEqual({ code: 0, signal: null });
    expect(tailing.log()).not.toContain("connection");
    const shown = tailing.stdout.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(shown).toHaveLength(2);
    for (const message of shown) {
      expect(message).toMatchObject({
        device: "d-1",
        path: "room/a/temp",
        protocol: "http",
        lane: "event",
        contentType: "application/json",
        payload: 1,
      });
    }
  });

  it("paints each protocol in its colour on a terminal, and nothing when it is piped", async () => {
    await using painted = await tail(["--device", "colours", "--count", "2"], { FORCE_COLOR: "1" });
    await using plain = await tail(["--device", "colours", "--count", "2"], { NO_COLOR: "1" });
    for (const each of [painted, plain]) {
      await sendUntil(
        each,
        2,
        ["colours", "a", "1", "--protocol", "http"],
        ["colours", "a", "1", "--protocol", "mqtt"],
      );
    }
    await plain.exited;
    // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are control characters
    const colourOf = (line = "") => /(\u001b\[3\dm)(?:http|mqtt)/.exec(line)?.[1];
    expect(colourOf(painted.stdout[0])).not.toBe(colourOf(painted.stdout[1]));
    expect(plain.stdout.every((line) => stripVTControlCharacters(line) === line)).toBe(true);
    expect(plain.stdout[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} (http|mqtt) +colours a 1$/);
  });

  it("shows strangers' control characters as hexadecimal", async () => {
    await using tailing = await tail(["--device", "evil", "--count", "1"]);
    await sendUntil(tailing, 1, ["evil", "a", "\u001b[2J", "--content-type", "text/plain"]);
    expect(tailing.stdout[0]).toContain("0x1b5b324a");
  });
});

describe("ledger", () => {
  it("prints the books as JSON, with nothing unaccounted", async () => {
    await on("send", "books", "a", "1");
    const { stdout } = await waitFor(
      async () => {
        const result = await on("ledger", "--json");
        return result.code === 0 && result;
      },
      { what: "books without a gap", deadlineMs: 10_000 },
    );
    const books = JSON.parse(stdout) as {
      unaccounted: number;
      instances: { service: string }[];
      rows: { hop: string; lane: string; received: number }[];
    };
    expect(books.unaccounted).toBe(0);
    expect(books.instances.map(({ service }) => service).sort()).toEqual(
      expect.arrayContaining(["dispatcher", "ipc-bridge", "listener"]),
    );
    expect(
      books.rows.find(({ hop, lane }) => hop === "ingress" && lane === "event")?.received,
    ).toBeGreaterThan(0);
  });

  it("prints a table for people", async () => {
    const { stdout } = await on("ledger");
    expect(stdout).toMatch(/hop .*lane .*target .*received .*unaccounted/);
    expect(stdout).toMatch(/unaccounted \d+\n$/);
  });
});

describe("every verb", () => {
  it.each([["--help"], ["ledger"], ["doctor"]])("ends in silence when nobody reads it: %s", async (verb) => {
    const script = `{ "$@"; echo "code $?" >&2; } | true`;
    const { stderr } = await run("sh", [
      "-c",
      script,
      "sh",
      process.execPath,
      MAIN,
      verb,
      "--data-dir",
      box.dataDir,
    ]);
    expect(stderr).toBe("code 141\n");
  });

  it("is completed in a bash without the package bash-completion", async () => {
    const script = `
      myelin() { "$0" "$@"; }
      source <(myelin complete bash)
      compopt() { :; }
      COMP_WORDS=(myelin ta) COMP_CWORD=1
      __myelin_complete 2>&1
      echo "\${COMPREPLY[@]}"`;
    await using dir = await tempDir("cli");
    const command = dir.join("myelin");
    await writeFile(command, `#!/bin/sh\nexec "${process.execPath}" "${MAIN}" "$@"\n`, { mode: 0o755 });
    const { stdout } = await run("bash", ["--norc", "-c", script, command]);
    expect(stdout).toBe("tail\n");
  });

  it("says in a sentence that a NATS does not answer", async () => {
    const { code, stderr } = await myelin(["ledger", "--nats", `127.0.0.1:${await freePort()}`]);
    expect(code).toBe(69);
    expect(stderr).toMatch(
      /^myelin: NATS at nats:\/\/127\.0\.0\.1:\d+ does not let us in within 3 s: [^\n]+\n$/,
    );
  });

  it("warns of a box of another version", async () => {
    const { version, ...rest } = await box.state();
    const file = `${box.dataDir}/run/box.json`;
    await writeFile(file, JSON.stringify({ ...rest, version: "0.0.1" }));
    const { code, stderr } = await on("ledger", "--json");
    await writeFile(file, JSON.stringify({ ...rest, version }));
    expect([code, stderr]).toEqual([
      0,
      `The box is of version 0.0.1 and this program of ${version}; restart the box with npm start.\n`,
    ]);
  });
});

describe("doctor", () => {
  interface Report {
    readonly ok: boolean;
    readonly findings: { check: string; level: string; found: string; remedy?: string }[];
  }

  it("finds a running box well", async () => {
    const { code, stdout } = await on("doctor", "--json");
    const { ok, findings } = JSON.parse(stdout) as Report;
    expect([code, ok]).toEqual([0, true]);
    expect(findings.map(({ check }) => check)).toEqual(
      expect.arrayContaining([
        "Node",
        "nats-server",
        "open files",
        "disk",
        "memory",
        "core",
        "version",
        "listener-0",
        "NATS",
      ]),
    );
  });

  it("names a port that is taken, with a remedy, before the start", async () => {
    await using dir = await tempDir("cli");
    const offset = await freeOffset();
    const other = createServer().listen(8080 + offset, "127.0.0.1");
    await once(other, "listening");
    const args = ["doctor", "--json", "--data-dir", dir.path, "--port-offset", String(offset)];
    const { code, stdout } = await myelin(args);
    other.close();
    expect(code).toBe(1);
    const bad = (JSON.parse(stdout) as Report).findings.filter(({ level }) => level === "bad");
    expect(bad).toMatchObject([
      { check: `port ${8080 + offset}`, found: expect.stringContaining("HTTP"), remedy: expect.anything() },
    ]);
  });

  it("names a UDP port that is taken, and a folder that cannot be written", async () => {
    await using dir = await tempDir("cli");
    const offset = await freeOffset();
    const other = createSocket("udp4").bind(7400 + offset, "127.0.0.1");
    await once(other, "listening");
    await writeFile(dir.join("file"), "");
    const args = ["doctor", "--json", "--data-dir", dir.join("file/data"), "--port-offset", String(offset)];
    const { stdout } = await myelin(args);
    other.close();
    const bad = (JSON.parse(stdout) as Report).findings.filter(({ level }) => level === "bad");
    expect(bad.map(({ check }) => check)).toEqual(["disk", `port ${7400 + offset}`]);
    expect(bad[1]?.found).toContain("UDP");
  });

  it("finds a process that does not answer", async () => {
    const pid = (await box.state()).processes.find(({ name }) => name === "core")?.pid as number;
    process.kill(pid, "SIGSTOP");
    const { code, stdout } = await on("doctor");
    process.kill(pid, "SIGCONT");
    expect(code).toBe(1);
    expect(stdout).toMatch(/^bad +core health +not ready\n.*curl localhost:\d+\/readyz says why\.$/m);
  });

  it("names a nats-server that cannot be used", async () => {
    const { code, stdout } = await on("doctor", "--nats-server", "/nonexistent");
    expect(code).toBe(1);
    expect(stdout).toMatch(/^bad .*nats-server .*\/nonexistent.* is not there/m);
  });
});
