import { connect } from "node:net";
import { app, encodeMcpFrame, subjects } from "@myelin/contract";
import { waitFor } from "@myelin/testkit";
import fc from "fast-check";
import mqtt from "mqtt";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { downlink, PARTITIONS, type Rig, startRig } from "../../../test/listener-rig.js";
import { McpPeer } from "../../../test/mcp-peer.js";

let rig: Rig;
const open: WebSocket[] = [];

beforeAll(async () => {
  rig = await startRig({
    http: { web: { maxBody: "4KiB", origins: ["https://panel.example"] } },
    websocket: { own: { origins: ["https://panel.example"] } },
  });
});
afterAll(async () => {
  await rig[Symbol.asyncDispose]();
});
afterEach(() => {
  for (const ws of open.splice(0)) ws.terminate();
});

class Client {
  readonly answers: Record<string, unknown>[] = [];
  closeCode = 0;
  refused = 0;
  readonly ws: WebSocket;

  constructor(device: string, protocols: string[] = [], port = "web", origin?: string) {
    this.ws = new WebSocket(`ws://127.0.0.1:${rig.port(port)}/api/v1/devices/${device}/ws`, protocols, {
      ...(origin !== undefined && { origin }),
    });
    open.push(this.ws);
    this.ws.on("message", (data: Buffer, isBinary) => {
      if (!isBinary) this.answers.push(JSON.parse(data.toString()));
    });
    this.ws.on("close", (code) => {
      this.closeCode = code;
    });
    this.ws.on("unexpected-response", (_request, response) => {
      this.refused = response.statusCode ?? 0;
    });
    this.ws.on("error", () => {});
  }

  async opened(): Promise<this> {
    await waitFor(() => this.ws.readyState === WebSocket.OPEN, { what: "the handshake" });
    return this;
  }

  send(message: object | string | Buffer): void {
    this.ws.send(typeof message === "string" || Buffer.isBuffer(message) ? message : JSON.stringify(message));
  }

  async answer(): Promise<Record<string, unknown>> {
    await waitFor(() => this.answers.length > 0, { what: "an answer" });
    return this.answers.shift()!;
  }

  async closed(): Promise<number> {
    await waitFor(() => this.closeCode !== 0, { what: "the close" });
    return this.closeCode;
  }
}

describe("a JSON client", () => {
  it.each([["web"], ["own"]])("on port %s gets an ack when its reading is stored", async (port) => {
    const client = await new Client("w1", ["myelin.json"], port).opened();
    expect(client.ws.protocol).toBe("myelin.json");
    client.send(`{"path":"ws/${port}","payload":{"t":21.50},"id":"i1"}`);
    expect(await client.answer()).toEqual({ ack: "i1" });
    expect((await rig.messages(`ws/${port}`, 1))[0]).toMatchObject({
      lane: "event",
      deviceId: "w1",
      text: '{"t":21.50}',
    });
  });

  it("sends telemetry without an answer", async () => {
    const client = await new Client("w1").opened();
    client.send({ path: "ws/tel", payload: 1, lane: "telemetry" });
    expect((await rig.messages("ws/tel", 1))[0]).toMatchObject({ lane: "telemetry" });
    expect(client.answers).toEqual([]);
  });

  it("gets messages for its device and acknowledges them", async () => {
    const client = await new Client("w2").opened();
    const sent = downlink(rig, "w2", { path: "devices/w2/x", payload: '{"a":1}', wait: true });
    const message = await client.answer();
    expect(message).toMatchObject({ path: "devices/w2/x", payload: { a: 1 } });
    client.send({ ack: message.id });
    expect((await sent).state).toBe(app.SendState.ACKNOWLEDGED);
  });

  it("tells the dispatchers what it wants, until it leaves", async () => {
    const client = await new Client("w3").opened();
    client.send({ subscribe: "live/#" });
    expect(await client.answer()).toEqual({ subscribed: "live/#" });
    client.send({ unsubscribe: "live/#" });
    expect(await client.answer()).toEqual({ unsubscribed: "live/#" });
    client.send({ subscribe: "a/#/b" });
    expect(await client.answer()).toMatchObject({ error: "protocol.malformed" });
  });

  it.each([
    ["no JSON", "{", "contract.bad_payload"],
    ["an unknown field", { paht: "x" }, "contract.bad_payload"],
    ["a wildcard in the path", { path: "a/+", payload: 1, id: "9" }, "protocol.malformed"],
    ["another device", { device: "other", path: "a", payload: 1 }, "auth.not_authorized"],
  ])("is told of %s and goes on", async (_, bad, code) => {
    const client = await new Client("w4").opened();
    client.send(bad as object);
    expect(await client.answer()).toMatchObject({ error: code });
    client.send({ path: "ws/after", payload: 1, id: "ok" });
    expect(await client.answer()).toEqual({ ack: "ok" });
  });

  it.each([
    ["a message beyond the bound", (c: Client) => c.send(`"${"x".repeat(5000)}"`), 1009],
    ["a binary message", (c: Client) => c.send(Buffer.from([1, 2])), 1003],
    ["nothing but bad messages", (c: Client) => Array.from({ length: 17 }, () => c.send("{")), 1008],
  ])("is closed for %s", async (_, bad, code) => {
    const client = await new Client("w5").opened();
    bad(client);
    expect(await client.closed()).toBe(code);
  });

  it("is closed for bad UTF-8 and for a length of 4 GB before anything is kept", async () => {
    const frames: [Buffer, number][] = [
      [Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0xff, 0xff]), 1007],
      [Buffer.from([0x81, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]), 1009],
      [Buffer.from([0xf1, 0x80, 0, 0, 0, 0]), 1002],
    ];
    for (const [frame, code] of frames) expect(await rawFrame(frame)).toBe(code);
  });

  it("does not suffer from neighbours that send any frames", async () => {
    const neighbour = await new Client("w6").opened();
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 40 }), async (bytes) => {
        await rawFrame(Buffer.concat([Buffer.from(bytes), Buffer.from([0xf1, 0x80, 0, 0, 0, 0])]), true);
      }),
      { numRuns: 40 },
    );
    neighbour.send({ path: "ws/neighbour", payload: 1, id: "n" });
    expect(await neighbour.answer()).toEqual({ ack: "n" });
  });
});

/** Opens a connection by hand and sends bytes as they are; resolves with the close code of the answer. */
function rawFrame(bytes: Buffer, hangUp = false): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect(rig.port("web"), "127.0.0.1");
    socket.write(
      "GET /api/v1/devices/raw/ws HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    let got = Buffer.alloc(0);
    let sent = false;
    socket.on("data", (chunk) => {
      got = Buffer.concat([got, chunk]);
      const end = got.indexOf("\r\n\r\n");
      if (end < 0) return;
      if (!sent) {
        sent = true;
        if (hangUp) socket.end(bytes);
        else socket.write(bytes);
      }
      const frame = got.subarray(end + 4);
      if (frame[0] === 0x88 && frame.length >= 4) {
        resolve(frame.readUInt16BE(2));
        socket.destroy();
      }
    });
    socket.on("close", () => resolve(0));
    socket.on("error", reject);
  });
}

describe("a handshake", () => {
  it.each([
    ["an unknown sub-protocol", () => new Client("d", ["soap"]), 400],
    ["a device id that is none", () => new Client("%01"), 400],
    ["a path that is none", () => new Client("d/x"), 404],
  ])("with %s is refused", async (_, make, status) => {
    const client = make();
    await waitFor(() => client.refused !== 0, { what: "the refusal" });
    expect(client.refused).toBe(status);
  });
});

describe.each(["web", "own"])("a web page on port %s", (port) => {
  it.each(["myelin.json", "mcp"])("of a foreign origin is refused %s with 403", async (protocol) => {
    const client = new Client("page", [protocol], port, "https://evil.example");
    await waitFor(() => client.refused !== 0 || client.ws.readyState === WebSocket.OPEN, {
      what: "the answer",
    });
    expect(client.refused).toBe(403);
  });

  it.each(["http://localhost:5173", "https://panel.example"])("of %s is let in", async (origin) => {
    const client = await new Client("page", [], port, origin).opened();
    client.send({ path: "ws/page", payload: 1, id: "p" });
    expect(await client.answer()).toEqual({ ack: "p" });
  });
});

describe("MCP over WebSocket", () => {
  const peerOf = async (device: string): Promise<McpPeer> => {
    const client = await new Client(device, ["mcp"]).opened();
    const peer = new McpPeer({ send: (bytes) => client.ws.send(bytes), close: () => client.ws.close() });
    client.ws.on("message", (data: Buffer) => peer.onBytes(data));
    client.ws.on("close", () => {
      peer.closed = true;
    });
    return peer;
  };

  it("acknowledges events, and resumes a session that began over it", async () => {
    const first = await peerOf("wm1");
    const { resumeToken } = await first.hello("wm1");
    first.send({ id: "a", type: "ws/mcp", sequence: 1, lane: "event", payload: Buffer.from("1") });
    expect((await first.control("ack")).sequence).toBe(1);
    expect((await rig.messages("ws/mcp", 1))[0]).toMatchObject({ deviceId: "wm1", protocol: 3 });
    await downlink(rig, "wm1", { path: "down", payload: "x" });
    await first.next(({ type }) => type === "down", "the message");
    first.transport.close();
    const again = await peerOf("wm1");
    expect(await again.hello("wm1", { resumeToken })).toMatchObject({ resumed: true, lastStoredSequence: 1 });
    await again.next(({ type }) => type === "down", "the message again");
  });

  it("is closed with the protocol's error for what is no frame", async () => {
    const client = await new Client("wm2", ["mcp"]).opened();
    client.ws.send(Buffer.concat([encodeMcpFrame({ type: "x" })]));
    expect(await client.closed()).toBe(1008);
    const text = await new Client("wm2", ["mcp"]).opened();
    text.send("text");
    expect(await text.closed()).toBe(1003);
  });
});

it("carries MQTT for a stock client", async () => {
  const client = await mqtt.connectAsync(`ws://127.0.0.1:${rig.port("web")}/mqtt`, {
    clientId: "wq",
    reconnectPeriod: 0,
  });
  await client.publishAsync("ws/mqtt", "1", { qos: 1 });
  expect((await rig.messages("ws/mqtt", 1))[0]).toMatchObject({ deviceId: "wq", lane: "event" });
  await client.endAsync();
});

it("delivers live data to a subscriber", async () => {
  const client = await new Client("viewer").opened();
  client.send({ subscribe: "live/+" });
  await client.answer();
  const ends = Array.from({ length: PARTITIONS }, (_, p) =>
    rig.bus.subscribe(subjects.eventBatch(p), (data) => {
      rig.bus.publish(subjects.listenerDeliver(rig.bus.instance), data);
    }),
  );
  client.send({ path: "live/t", payload: { t: 1.5 }, id: "l" });
  await waitFor(() => client.answers.length >= 2, { what: "ack and live data" });
  for (const end of ends) end();
  expect(client.answers).toContainEqual({ path: "live/t", device: "viewer", payload: { t: 1.5 } });
});
