import { X509Certificate } from "node:crypto";
import { writeFileSync } from "node:fs";
import { connect as connectTcp } from "node:net";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import { makeCertificate, type TempDir, type TestCertificate, tempDir, waitFor } from "@myelin/testkit";
import mqtt from "mqtt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { type Rig, startRig } from "../../test/listener-rig.js";

let dir: TempDir;
let rig: Rig;
let [first, second, expired, authority, boiler, stranger]: TestCertificate[] = [];
const PORTS = ["mqtt", "tcp", "http", "websocket", "auto"] as const;

beforeAll(async () => {
  dir = await tempDir("tls");
  [first, second, expired, authority, stranger] = await Promise.all([
    makeCertificate(dir, "first"),
    makeCertificate(dir, "second"),
    makeCertificate(dir, "expired", { days: -1 }),
    makeCertificate(dir, "authority"),
    makeCertificate(dir, "stranger"),
  ]);
  boiler = await makeCertificate(dir, "boiler-1", {
    issuer: authority!,
    names: "DNS:boiler-1.example.com,URI:urn:boiler:1",
  });
  serve(first!);
  const tls = { cert: { fromFile: dir.join("tls.crt") }, key: { fromFile: dir.join("tls.key") } };
  const clientCa = { fromFile: authority!.certFile };
  writeFileSync(
    dir.join("acl.yaml"),
    'rules:\n  - { effect: allow, users: [boiler-1], topics: ["devices/%d/#"] }\n',
  );
  rig = await startRig(
    {
      mqtt: {
        mqtt: { tls: { ...tls, minVersion: "TLSv1.2" } },
        strict: { tls: { ...tls, clientCa } },
        lax: { tls: { ...tls, clientCa, clientCertificate: "optional" } },
      },
      tcp: { tcp: { tls, framing: "lines" } },
      http: { http: { tls } },
      websocket: { websocket: { tls }, strictweb: { tls: { ...tls, clientCa } } },
      auto: { auto: { tls }, strictauto: { tls: { ...tls, clientCa } } },
    },
    {
      admission: {
        "static-file": { anonymous: "nobody", certificates: "user", aclFile: dir.join("acl.yaml") },
      },
    },
  );
});
afterAll(async () => {
  await rig[Symbol.asyncDispose]();
  await dir[Symbol.asyncDispose]();
});

function serve({ cert, key }: { cert: string; key: string }): void {
  writeFileSync(dir.join("tls.crt"), cert);
  writeFileSync(dir.join("tls.key"), key);
}

function dial(port: string, options: ConnectionOptions = {}): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect(
      { port: rig.port(port), host: "localhost", rejectUnauthorized: false, ...options },
      () => resolve(socket),
    );
    socket.once("error", reject);
  });
}

/** The certificate a new connection gets. */
async function servedBy(port: string): Promise<string> {
  const socket = await dial(port);
  const print = socket.getPeerX509Certificate()!.fingerprint256;
  socket.destroy();
  return print;
}

const printOf = ({ cert }: { cert: string }): string => new X509Certificate(cert).fingerprint256;
const client = ({ cert, key }: { cert: string; key: string }) => ({ cert, key });
const mqttClient = (port: string, over: object = {}, scheme = "mqtts", path = "") =>
  mqtt.connectAsync(`${scheme}://localhost:${rig.port(port)}${path}`, {
    clientId: `c-${port}`,
    rejectUnauthorized: false,
    reconnectPeriod: 0,
    connectTimeout: 5_000,
    protocolVersion: 5,
    ...over,
  });

async function closes(socket: TLSSocket): Promise<void> {
  let closed = socket.destroyed;
  socket.on("error", () => {});
  socket.on("close", () => {
    closed = true;
  });
  socket.resume();
  await waitFor(() => closed, { what: "the end" });
}

describe("a changed certificate", () => {
  it("is served to new connections on every port, and old connections go on", async () => {
    const old = await mqttClient("lax", client(boiler!));
    const keeper = await dial("http");
    expect(await servedBy("mqtt")).toBe(printOf(first!));
    serve(second!);
    for (const port of PORTS) {
      await waitFor(async () => (await servedBy(port)) === printOf(second!), {
        what: `the new one on ${port}`,
      });
    }
    await old.publishAsync("devices/c-lax/x", "1", { qos: 1 });
    expect(await rig.messages("devices/c-lax/x", 1)).toHaveLength(1);
    await old.endAsync();
    keeper.write("GET /api/v1/openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n");
    const answer = await new Promise<Buffer>((resolve) => keeper.once("data", resolve));
    expect(answer.toString("latin1")).toMatch(/^HTTP\/1.1 200/);
    keeper.destroy();
  });

  it.each([
    ["is no certificate", () => ({ cert: "nothing", key: second!.key })],
    ["has another key", () => ({ cert: first!.cert, key: second!.key })],
    ["has ended", () => expired!],
  ])("that %s is refused and counted once, and the last good one stays", async (_, broken) => {
    const before = await rig.metric(
      'myelin_listener_certificate_reloads_total{port="mqtt",outcome="refused"',
    );
    serve(broken());
    await waitFor(
      async () =>
        (await rig.metric('myelin_listener_certificate_reloads_total{port="mqtt",outcome="refused"')) ===
        before + 1,
      { what: "the refusal" },
    );
    expect(await servedBy("mqtt")).toBe(printOf(second!));
    const ends = Date.parse(new X509Certificate(second!.cert).validTo) / 1000;
    expect(await rig.metric('myelin_listener_certificate_expiry_timestamp_seconds{port="mqtt"')).toBe(ends);
    serve(second!);
  });
});

describe("a client certificate", () => {
  it.each([["strict"], ["strictauto"], ["strictweb"]])("is demanded by port %s", async (port) => {
    const refusals = () =>
      rig.metric('myelin_listener_transports_refused_total{reason="client_certificate"').then(async (n) => {
        return n + (await rig.malformed("auto", "client_certificate"));
      });
    const before = await refusals();
    for (const shown of [{}, client(stranger!)]) {
      // With TLS 1.3 a client is done before it is judged.
      const socket = await dial(port, shown).catch(() => undefined);
      if (socket !== undefined) await closes(socket);
    }
    await waitFor(async () => (await refusals()) >= before + 2, { what: "the refusals" });
    const scheme = port === "strictweb" ? "wss" : "mqtts";
    const good = await mqttClient(port, client(boiler!), scheme, scheme === "wss" ? "/mqtt" : "");
    await good.publishAsync(`devices/c-${port}/y`, "1", { qos: 1 });
    await good.endAsync();
  });

  it("that is optional names the user who shows it, is not needed for others, and may not be a stranger's", async () => {
    const named = await mqttClient("lax", client(boiler!));
    await named.publishAsync("devices/c-lax/z", "1", { qos: 1 });
    await expect(named.publishAsync("elsewhere", "1", { qos: 1 })).rejects.toMatchObject({ code: 135 });
    await named.endAsync();
    await expect(mqttClient("lax")).rejects.toMatchObject({ code: 134 });
    const strange = await dial("lax", client(stranger!));
    await closes(strange);
  });
});

describe("a handshake", () => {
  it.each([
    ["mqtt", ["h2", "mqtt"], "mqtt"],
    ["http", ["h2", "http/1.1"], "http/1.1"],
    ["auto", ["http/1.1"], "http/1.1"],
    ["mqtt", undefined, false],
  ])("on port %s that offers %s agrees on %s", async (port, offered, agreed) => {
    const socket = await dial(port, offered === undefined ? {} : { ALPNProtocols: offered });
    expect(socket.alpnProtocol).toBe(agreed);
    socket.destroy();
  });

  it("that offers another protocol only is refused by an alert", async () => {
    await expect(dial("mqtt", { ALPNProtocols: ["h2"] })).rejects.toMatchObject({
      code: "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL",
    });
  });

  it.each([
    ["mqtt", "TLSv1.2", "TLSv1.2"],
    ["mqtt", "TLSv1.3", "TLSv1.3"],
    ["tcp", "TLSv1.3", "TLSv1.3"],
  ] as const)("on port %s of a client of %s speaks %s", async (port, maxVersion, spoken) => {
    const socket = await dial(port, { maxVersion });
    expect(socket.getProtocol()).toBe(spoken);
    socket.destroy();
  });

  it.each([
    ["mqtt", "TLSv1.1"],
    ["tcp", "TLSv1.2"],
  ] as const)("on port %s of a client of %s fails", async (port, maxVersion) => {
    await expect(dial(port, { maxVersion, minVersion: "TLSv1" })).rejects.toThrow();
  });

  it("of bytes that are no TLS is closed and counted", async () => {
    const refusals = () => rig.metric('myelin_listener_transports_refused_total{reason="tls_handshake"');
    const before = await refusals();
    const socket = connectTcp(rig.port("mqtt"), "localhost", () => socket.write("PROXY is not TLS\r\n\r\n"));
    await closes(socket as TLSSocket);
    expect(await refusals()).toBe(before + 1);
  });
});

describe("MQTT over secure WebSocket", () => {
  it.each(["mqtt", "mqttv3.1"])(
    "is spoken as %s, in fragments too, and refuses text with 1003",
    async (protocol) => {
      const socket = new WebSocket(`wss://localhost:${rig.port("websocket")}/mqtt`, protocol, {
        rejectUnauthorized: false,
      });
      await new Promise((resolve) => socket.once("open", resolve));
      expect(socket.protocol).toBe(protocol);
      const bytes = Buffer.from("101000044d51545404020000000466726167", "hex");
      socket.send(bytes.subarray(0, 3), { fin: false });
      socket.send(bytes.subarray(3, 9), { fin: false });
      socket.send(bytes.subarray(9), { fin: true });
      const answer = await new Promise<Buffer>((resolve) => socket.once("message", resolve));
      // Nobody is let in without a name here: return code 4.
      expect(answer.toString("hex")).toBe("20020004");
      const other = new WebSocket(`wss://localhost:${rig.port("websocket")}/mqtt`, protocol, {
        rejectUnauthorized: false,
      });
      await new Promise((resolve) => other.once("open", resolve));
      other.send("text");
      expect(await new Promise((resolve) => other.once("close", resolve))).toBe(1003);
    },
  );
});
