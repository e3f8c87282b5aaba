import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { FakeClock } from "@myelin/kernel";
import { makeCertificate, type TempDir, tempDir, waitFor } from "@myelin/testkit";
import { generate } from "mqtt-packet";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Rig, startRig } from "../../test/listener-rig.js";
import { TurnedAway } from "./turned-away.js";

const PLACES = 2;
let dir: TempDir;
let rig: Rig;
const holders: Socket[] = [];

beforeAll(async () => {
  dir = await tempDir("turned-away");
  const { certFile, keyFile } = await makeCertificate(dir, "localhost");
  const tls = { cert: { fromFile: certFile }, key: { fromFile: keyFile } };
  rig = await startRig(
    {
      mqtt: { plain: {}, secure: { tls } },
      http: { web: {} },
      websocket: { ws: {} },
      tcp: { lines: { framing: "lines" } },
      auto: { auto: { tls } },
    },
    { settings: { maxConnectionsPerAddress: PLACES } },
  );
  for (let i = 0; i < PLACES; i++) {
    const holder = connect(rig.port("plain"), "127.0.0.1");
    holder.write(hello(`holder-${i}`, 4));
    await new Promise((resolve) => holder.once("data", resolve));
    holders.push(holder);
  }
});
afterAll(async () => {
  for (const holder of holders) holder.destroy();
  await rig[Symbol.asyncDispose]();
  await dir[Symbol.asyncDispose]();
});

const hello = (clientId: string, protocolVersion: 4 | 5): Buffer =>
  generate({ cmd: "connect", clientId, protocolId: "MQTT", protocolVersion, clean: true, keepalive: 0 });
const GET = Buffer.from("GET /api/v1/openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n");
const turnedAway = (): Promise<number> =>
  rig.metric('myelin_listener_transports_refused_total{reason="address"');

/** All that comes until the other side closes. */
async function exchange(socket: Socket, bytes: Buffer): Promise<Buffer> {
  const got: Buffer[] = [];
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => got.push(chunk));
  socket.write(bytes);
  let isClosed = false;
  socket.on("close", () => {
    isClosed = true;
  });
  await waitFor(() => isClosed, { what: "the end" });
  return Buffer.concat(got);
}

const dial = (port: string): Socket => connect(rig.port(port), "127.0.0.1");
const dialTls = (port: string): Socket =>
  connectTls({ port: rig.port(port), host: "127.0.0.1", rejectUnauthorized: false });

describe("a client for whom there is no place", () => {
  it.each([
    ["plain", 4, dial, "20020003"],
    ["plain", 5, dial, "2003009700"],
    ["secure", 5, dialTls, "2003009700"],
    ["auto", 4, dial, "20020003"],
    ["auto", 5, dialTls, "2003009700"],
  ] as const)("hears it by CONNACK on port %s, version %i", async (port, version, to, connack) => {
    const before = await turnedAway();
    const answer = await exchange(to(port), hello("late", version));
    expect(answer.toString("hex")).toBe(connack);
    expect(await turnedAway()).toBe(before + 1);
    expect(rig.listener.connections.size).toBe(PLACES);
  });

  it.each([
    ["web", dial],
    ["ws", dial],
    ["auto", dial],
    ["auto", dialTls],
  ] as const)("hears it by 503 on port %s", async (port, to) => {
    const answer = (await exchange(to(port), GET)).toString();
    expect(answer).toContain("HTTP/1.1 503 ");
    expect(answer).toContain('"code":"limit.connections"');
  });

  it("is closed where the protocol has no word for it", async () => {
    expect(await exchange(dial("lines"), Buffer.from("a b 1\n"))).toHaveLength(0);
  });

  it("is closed when what it says is no CONNECT", async () => {
    expect(await exchange(dial("plain"), Buffer.from("c000", "hex"))).toHaveLength(0);
  });
});

describe("TurnedAway", () => {
  it("closes those that say nothing when their time is over, and takes no more than so many", async () => {
    const clock = new FakeClock();
    const turned = new TurnedAway(clock);
    const silent = Array.from({ length: 256 }, () => dial("lines"));
    for (const socket of silent) {
      expect(turned.admit(socket)).toBe(true);
      turned.tell(socket, () => "more");
    }
    const oneMore = dial("lines");
    oneMore.on("error", () => {});
    expect(turned.admit(oneMore)).toBe(false);
    oneMore.destroy();
    await clock.advance(2_000);
    await waitFor(() => turned.size === 0, { what: "all to be gone" });
    expect(silent.every((socket) => socket.destroyed)).toBe(true);
    expect(clock.pendingTimers).toBe(0);
  });
});
