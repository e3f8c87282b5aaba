import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { systemClock } from "@myelin/kernel";
import { makeCertificate, type TempDir, tempDir, waitFor } from "@myelin/testkit";
import { generate } from "mqtt-packet";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Rig, startRig } from "../../test/listener-rig.js";
import { ProxiedSockets } from "./proxied-sockets.js";
import { addressOf } from "./socket-peer.js";

let dir: TempDir;
let rig: Rig;

beforeAll(async () => {
  dir = await tempDir("proxied");
  const { certFile, keyFile } = await makeCertificate(dir, "localhost");
  const tls = { cert: { fromFile: certFile }, key: { fromFile: keyFile } };
  const trusting = { proxyProtocol: "any", trustedProxies: ["127.0.0.0/8", "::1"] };
  rig = await startRig(
    {
      mqtt: {
        plain: trusting,
        secure: { ...trusting, tls },
        foreign: { proxyProtocol: "any", trustedProxies: ["192.0.2.0/24"] },
      },
      tcp: { lines: { ...trusting, framing: "lines", ack: "on" } },
      http: { web: trusting },
      websocket: { ws: trusting },
      auto: { auto: { ...trusting, tls } },
    },
    {
      settings: { maxConnectionsPerAddress: 3 },
      admission: { "static-file": { anonymous: "everybody" } },
    },
  );
});
afterAll(async () => {
  await rig[Symbol.asyncDispose]();
  await dir[Symbol.asyncDispose]();
});

const header = (address: string): Buffer => Buffer.from(`PROXY TCP4 ${address} 10.0.0.1 5000 1883\r\n`);
const hello = (clientId: string): Buffer =>
  generate({ cmd: "connect", clientId, protocolId: "MQTT", protocolVersion: 4, clean: true, keepalive: 0 });
const CONNACK = "20020000";
const GET = Buffer.from("GET /api/v1/openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n");
const refusals = (reason: string): Promise<number> =>
  rig.metric(`myelin_listener_transports_refused_total{reason="${reason}"`);

function dial(port: string): Socket {
  const socket = connect(rig.port(port), "127.0.0.1");
  socket.setNoDelay(true);
  socket.on("error", () => {});
  return socket;
}

const reply = (socket: Socket): Promise<string> =>
  new Promise((resolve, reject) => {
    socket.once("data", (bytes: Buffer) => resolve(bytes.toString("latin1")));
    socket.once("close", () => reject(new Error("closed")));
  });

async function closed(socket: Socket): Promise<void> {
  let isClosed = socket.destroyed;
  socket.on("close", () => {
    isClosed = true;
  });
  socket.resume();
  await waitFor(() => isClosed, { what: "the end" });
}

const addresses = (): string[] => rig.listener.connections.connections().map(({ address }) => address);

describe("a trusted proxy", () => {
  it.each([
    ["plain", hello("p1"), Buffer.from(CONNACK, "hex")],
    ["auto", hello("p2"), Buffer.from(CONNACK, "hex")],
    ["auto", GET, Buffer.from("HTTP/1.1 200")],
    ["web", GET, Buffer.from("HTTP/1.1 200")],
    ["ws", GET, Buffer.from("HTTP/1.1 426")],
    ["lines", Buffer.from("p3 a/b 1\n"), Buffer.from("ok")],
  ])("speaks for its client on port %s, wherever its header is cut", async (port, bytes, answer) => {
    const all = Buffer.concat([header("203.0.113.7"), bytes]);
    for (let cut = 1; cut < all.length; cut += port === "plain" ? 1 : 7) {
      const socket = dial(port);
      socket.write(all.subarray(0, cut));
      await new Promise((resolve) => setImmediate(resolve));
      socket.write(all.subarray(cut));
      const got = await reply(socket);
      expect(got.startsWith(answer.toString("latin1"))).toBe(true);
      if (port !== "ws") expect(addresses()).toContain("203.0.113.7");
      socket.destroy();
      await waitFor(() => addresses().length === 0, { what: "its end" });
    }
  });

  it.each(["secure", "auto"])("speaks for its client before TLS on port %s", async (port) => {
    const raw = dial(port);
    raw.write(header("203.0.113.8"));
    const socket = connectTls({ socket: raw, rejectUnauthorized: false });
    socket.write(hello("p4"));
    expect(Buffer.from(await reply(socket), "latin1").toString("hex")).toBe(CONNACK);
    expect(addresses()).toEqual(["203.0.113.8"]);
    socket.destroy();
    await waitFor(() => addresses().length === 0, { what: "its end" });
  });

  it("has its clients counted by their own addresses", async () => {
    const before = await refusals("address");
    const open: Socket[] = [];
    for (const i of [1, 2, 3]) {
      open.push(dial("plain"));
      open.at(-1)!.write(Buffer.concat([header("203.0.113.9"), hello(`q${i}`)]));
      await reply(open.at(-1)!);
    }
    const fourth = dial("plain");
    fourth.write(Buffer.concat([header("203.0.113.9"), hello("q4")]));
    await closed(fourth);
    expect(await refusals("address")).toBe(before + 1);
    const other = dial("plain");
    other.write(Buffer.concat([header("203.0.113.10"), hello("q5")]));
    await reply(other);
    for (const socket of [...open, other]) socket.destroy();
    await waitFor(() => addresses().length === 0, { what: "their end" });
  });

  it.each([
    ["proxy_missing", hello("r1")],
    ["proxy_missing", GET],
    ["proxy_malformed", Buffer.from("PROXY TCP4 1.2.3.4\r\n")],
    ["proxy_too_large", Buffer.from(`PROXY UNKNOWN ${"x".repeat(200)}`)],
  ])("is closed and counted as %s otherwise", async (reason, bytes) => {
    const before = await refusals(reason);
    const socket = dial("plain");
    socket.write(bytes);
    await closed(socket);
    expect(await refusals(reason)).toBe(before + 1);
  });
});

describe("somebody else", () => {
  it("connects directly, also when the first bytes come one at a time", async () => {
    const socket = dial("foreign");
    for (const byte of hello("s1")) socket.write(Buffer.of(byte));
    expect(Buffer.from(await reply(socket), "latin1").toString("hex")).toBe(CONNACK);
    expect(addresses()).toEqual(["127.0.0.1"]);
    socket.destroy();
  });

  it.each([
    ["v1", header("203.0.113.7")],
    ["v2", Buffer.from("0d0a0d0a000d0a515549540a2111000cc0a800010a000001dbfc075b", "hex")],
  ])("may not speak for others by a header of %s", async (_, bytes) => {
    const before = await refusals("proxy_untrusted");
    const socket = dial("foreign");
    socket.write(bytes);
    await closed(socket);
    expect(await refusals("proxy_untrusted")).toBe(before + 1);
  });
});

describe("a proxy on another machine", () => {
  it("cannot make its loopback ours", async () => {
    const taken: string[] = [];
    const proxied = new ProxiedSockets({
      mode: "any",
      trusted: ["127.0.0.1"],
      clock: systemClock,
      onRefused: () => {},
      onSocket: (socket) => taken.push(addressOf(socket)),
    });
    const socket = dial("plain");
    await new Promise((resolve) => socket.once("connect", resolve));
    for (const [own, claimed] of [
      ["192.0.2.1", "127.0.0.1"],
      ["127.0.0.1", "127.0.0.5"],
    ]) {
      const { PassThrough } = await import("node:stream");
      const stream = Object.assign(new PassThrough(), { remoteAddress: own });
      const trusting =
        own === "127.0.0.1" ? proxied : new ProxiedSockets({ ...proxied.options, trusted: ["192.0.2.0/24"] });
      trusting.take(stream as unknown as Socket);
      stream.write(header(claimed!));
    }
    socket.destroy();
    await waitFor(() => taken.length === 2, { what: "both" });
    expect(taken).toEqual(["192.0.2.1", "127.0.0.5"]);
  });

  it("is not named by what is no address", () => {
    const options = { mode: "any", clock: systemClock, onRefused: () => {}, onSocket: () => {} } as const;
    for (const trusted of ["10.0.0.0/33", "10.0.0", "::1/129", "10.0.0.0/8/8", ":"])
      expect(() => new ProxiedSockets({ ...options, trusted: [trusted] })).toThrow(trusted);
  });
});
