import { execFile } from "node:child_process";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { promisify } from "node:util";
import { encodeMcpFrame } from "@myelin/contract";
import { type TempDir, tempDir, waitFor } from "@myelin/testkit";
import mqtt from "mqtt";
import { generate } from "mqtt-packet";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { type Rig, startRig } from "../../../test/listener-rig.js";
import { McpPeer } from "../../../test/mcp-peer.js";

const exec = promisify(execFile);
let dir: TempDir;
let rig: Rig;

beforeAll(async () => {
  dir = await tempDir("auto");
  const key = dir.join("key.pem");
  const cert = dir.join("cert.pem");
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  await exec("openssl", [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-days",
    "1",
    "-keyout",
    key,
    "-out",
    cert,
    ...subject,
  ]);
  rig = await startRig({
    http: { small: { maxBody: "1KiB" } },
    tcp: { lines: { maxMessage: "1KiB", framing: "lines" } },
    auto: {
      imitating: { like: { http: "small", tcp: "lines" } },
      plain: { firstPacketTimeout: "1s" },
      any: { firstPacketTimeout: "1s", tls: { cert: { fromFile: cert }, key: { fromFile: key } } },
    },
  });
});
afterAll(async () => {
  await rig[Symbol.asyncDispose]();
  await dir[Symbol.asyncDispose]();
});

const url = (scheme: string, path: string): string => `${scheme}://localhost:${rig.port("any")}${path}`;
const refusals = (reason: string): Promise<number> => rig.malformed("auto", reason);

describe.each([
  ["plain", "http", "ws", "mqtt"],
  ["TLS", "https", "wss", "mqtts"],
])("over %s the port speaks", (name, http, ws, mqttScheme) => {
  it("HTTP with curl", async () => {
    const { stdout } = await exec("curl", [
      "-sk",
      "-d",
      "1",
      "-H",
      "content-type: application/json",
      url(http, `/api/v1/devices/a1/messages/auto/${http}`),
    ]);
    expect(stdout).toBe('{"accepted":1,"rejected":0}');
    expect((await rig.messages(`auto/${http}`, 1))[0]).toMatchObject({ port: "any" });
  });

  it("WebSocket", async () => {
    const socket = new WebSocket(url(ws, "/api/v1/devices/a2/ws"), { rejectUnauthorized: false });
    await new Promise((resolve) => socket.once("open", resolve));
    socket.send(`{"path":"auto/${ws}","payload":1,"id":"x"}`);
    const answer = await new Promise<Buffer>((resolve) => socket.once("message", resolve));
    expect(answer.toString()).toBe('{"ack":"x"}');
    socket.terminate();
  });

  it("MQTT", async () => {
    const client = await mqtt.connectAsync(url(mqttScheme, ""), {
      clientId: `a3-${name}`,
      rejectUnauthorized: false,
      reconnectPeriod: 0,
    });
    await client.publishAsync(`auto/${mqttScheme}`, "1", { qos: 1 });
    await client.endAsync();
    await rig.messages(`auto/${mqttScheme}`, 1);
  });

  it("MCP, also when its bytes come one at a time", async () => {
    const port = rig.port("any");
    const socket: Socket =
      name === "TLS"
        ? connectTls({ port, host: "localhost", rejectUnauthorized: false })
        : connect(port, "localhost");
    socket.setNoDelay(true);
    const peer = new McpPeer({
      send: (bytes) => {
        for (const byte of bytes) socket.write(Buffer.from([byte]));
      },
      close: () => socket.destroy(),
    });
    socket.on("data", (bytes: Buffer) => peer.onBytes(bytes));
    await peer.hello(`a4-${name}`);
    peer.send({ id: "1", sequence: 1, lane: "event", type: `auto/mcp-${name}` });
    expect((await peer.control("ack")).sequence).toBe(1);
    socket.destroy();
  });
});

describe("on the plain port", () => {
  const MQTT = generate({
    cmd: "connect",
    clientId: "cut",
    protocolId: "MQTT",
    protocolVersion: 4,
    clean: true,
    keepalive: 0,
  });
  const HTTP = Buffer.from("GET /nothing HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
  const MCP = encodeMcpFrame({ control: { kind: "hello", version: 1, deviceId: "cut" } });

  it.each([
    ["MQTT", MQTT, "20020000"],
    ["HTTP", HTTP, Buffer.from("HTTP/1.1 404").toString("hex")],
    ["MCP", MCP, "4d435001"],
  ])("%s is told wherever its first bytes are cut", async (_, bytes, answer) => {
    for (let cut = 1; cut < 12; cut++) {
      const socket = connect(rig.port("plain"), "127.0.0.1");
      socket.setNoDelay(true);
      socket.write(bytes.subarray(0, cut));
      await new Promise((resolve) => setImmediate(resolve));
      socket.write(bytes.subarray(cut));
      const got = await new Promise<Buffer>((resolve) => socket.once("data", resolve));
      expect(got.toString("hex").startsWith(answer)).toBe(true);
      socket.destroy();
    }
  });

  it.each([
    ["unknown", Buffer.from("SSH-2.0-x\r\n")],
    ["tls_without_certificate", Buffer.from([0x16, 3, 1, 0, 5, 1])],
    ["first_packet", Buffer.from("GE")],
  ])("anything else is closed and counted as %s", async (reason, bytes) => {
    const before = await refusals(reason);
    const socket = connect(rig.port("plain"), "127.0.0.1", () => socket.write(bytes));
    let closed = false;
    socket.on("close", () => {
      closed = true;
    });
    socket.on("error", () => {});
    await waitFor(() => closed, { what: "the end" });
    expect(await refusals(reason)).toBe(before + 1);
  });
});

describe("a port that is like others", () => {
  it("has their settings, and speaks MCP where they speak lines", async () => {
    const base = `http://127.0.0.1:${rig.port("imitating")}/api/v1/devices/l1/messages/like`;
    const post = async (bytes: number): Promise<number> =>
      (await fetch(base, { method: "POST", body: new Uint8Array(bytes) })).status;
    expect([await post(100), await post(2000)]).toEqual([202, 413]);
    const peer = McpPeer.tcp(rig.port("imitating"));
    await peer.hello("l2");
    peer.send({ type: "like", payload: Buffer.alloc(2000) });
    expect((await peer.control("error")).code).toBe("contract.frame_too_large");
    peer.transport.close();
  });

  it("that is not there stops the start", async () => {
    const start = startRig(
      { auto: { any: { like: { mqtt: "nowhere" } } } },
      { nats: rig.nats, instance: "mistaken" },
    );
    await expect(start).rejects.toMatchObject({ code: "config.invalid" });
  });
});
