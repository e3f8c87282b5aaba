import { execFile } from "node:child_process";
import { existsSync, renameSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { promisify } from "node:util";
import { requires, type TempDir, tempDir, waitFor } from "@myelin/testkit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Rig, startRig } from "../../test/listener-rig.js";
import { McpPeer } from "../../test/mcp-peer.js";

const exec = promisify(execFile);
let dir: TempDir;
let rigs: Rig[];

beforeEach(async () => {
  dir = await tempDir("unix");
  rigs = [];
});
afterEach(async () => {
  for (const rig of rigs.reverse()) await rig[Symbol.asyncDispose]();
  await dir[Symbol.asyncDispose]();
});

async function rigOn(over: object = {}, options: Parameters<typeof startRig>[1] = {}): Promise<Rig> {
  const mqtt = { socket: { path: dir.join("mqtt.sock"), ...over } };
  const rig = await startRig({ mqtt, tcp: { mcp: { path: dir.join(`mcp${rigs.length}.sock`) } } }, options);
  rigs.push(rig);
  return rig;
}

/** What a process leaves that was killed. */
async function leaveStale(path: string): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(`${path}.dead`, resolve));
  renameSync(`${path}.dead`, path);
  await new Promise((resolve) => server.close(resolve));
  expect(existsSync(path)).toBe(true);
}

const pub = (message: string) =>
  exec("mosquitto_pub", ["--unix", dir.join("mqtt.sock"), "-t", "unix/a", "-m", message, "-q", "1"]);

describe("a Unix socket", requires.program("mosquitto_pub"), () => {
  it("takes MQTT from mosquitto_pub and MCP, with the mode that is set, and lets both in as this machine's own", async () => {
    const rig = await rigOn({ mode: "0600" });
    await pub("1");
    expect(await rig.messages("unix/a", 1)).toMatchObject([{ text: "1", lane: "event" }]);
    expect(statSync(dir.join("mqtt.sock")).mode & 0o777).toBe(0o600);
    expect(statSync(dir.join("mcp0.sock")).mode & 0o777).toBe(0o660);
    const socket = connect(dir.join("mcp0.sock"));
    const peer = new McpPeer({ send: (bytes) => socket.write(bytes), close: () => socket.destroy() });
    socket.on("data", (bytes: Buffer) => peer.onBytes(bytes));
    await peer.hello("u1");
    expect(rig.listener.connections.connections().map(({ address }) => address)).toContain("unix");
    socket.destroy();
  });

  it("is taken over from a dead process, and goes with ours", async () => {
    await leaveStale(dir.join("mqtt.sock"));
    const rig = await rigOn();
    await pub("1");
    await rig.messages("unix/a", 1);
    await rig.listener.stop();
    expect(existsSync(dir.join("mqtt.sock"))).toBe(false);
  });

  it("is left to a living process, and taken over when that is gone", async () => {
    const first = await rigOn();
    const second = await rigOn({}, { nats: first.nats, instance: "listener-1" });
    const accepted = () => second.metric('myelin_listener_connections_accepted_total{protocol="mqtt"');
    await pub("1");
    expect(await accepted()).toBe(0);
    await first.listener.stop();
    await waitFor(
      () =>
        pub("2").then(
          () => true,
          () => false,
        ),
      { what: "the second one" },
    );
    expect(await accepted()).toBe(1);
  });

  it("is not put over a file of another kind", async () => {
    writeFileSync(dir.join("mqtt.sock"), "precious");
    await expect(rigOn()).rejects.toMatchObject({ code: "setup.port_in_use" });
  });

  it("comes back when somebody has removed it", async () => {
    await rigOn();
    renameSync(dir.join("mqtt.sock"), dir.join("gone"));
    await waitFor(
      () =>
        pub("1").then(
          () => true,
          () => false,
        ),
      { what: "the socket" },
    );
  });
});
