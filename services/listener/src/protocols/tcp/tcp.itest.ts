import { connect } from "node:net";
import { app, encodeMcpFrame } from "@myelin/contract";
import { waitFor } from "@myelin/testkit";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { downlink, type Rig, startRig } from "../../../test/listener-rig.js";
import { McpPeer } from "../../../test/mcp-peer.js";

let rig: Rig;
let other: Rig;

beforeAll(async () => {
  rig = await startRig({
    tcp: {
      frames: { maxMessage: "4KiB", firstPacketTimeout: "1s" },
      beats: { heartbeat: "1s" },
      text: { framing: "lines", ack: "on", maxMessage: "1KiB" },
      silent: { framing: "lines" },
    },
  });
  other = await startRig({ tcp: { frames: {} } }, { nats: rig.nats, instance: "listener-1" });
});
afterAll(async () => {
  await other[Symbol.asyncDispose]();
  await rig[Symbol.asyncDispose]();
});

const peer = (port = "frames", at = rig): McpPeer => McpPeer.tcp(at.port(port));
const event = (sequence: number, type = "t", id = `e${sequence}`) => ({
  id,
  type,
  sequence,
  lane: "event" as const,
  payload: Buffer.from(String(sequence)),
});

describe("an MCP device", () => {
  it("is welcomed, and its events are acknowledged by sequence once they are stored", async () => {
    const device = peer();
    const welcome = await device.hello("m1");
    expect(welcome).toMatchObject({ version: 1, resumed: false, heartbeatMs: 30_000, lastStoredSequence: 0 });
    device.send(...Array.from({ length: 200 }, (_, i) => event(i + 1, "m1/t")));
    await waitFor(
      () => device.received.some(({ control }) => control?.kind === "ack" && control.sequence === 200),
      {
        what: "the last ack",
      },
    );
    const seen = await rig.messages("m1/t", 200);
    expect(seen.map(({ deviceSequence }) => deviceSequence)).toEqual(
      Array.from({ length: 200 }, (_, i) => i + 1),
    );
    expect(seen[0]).toMatchObject({
      lane: "event",
      deviceId: "m1",
      senderId: true,
      text: "1",
      port: "frames",
    });
    const acks = device.received.filter(({ control }) => control?.kind === "ack");
    expect(acks.length).toBeLessThan(20);
    device.transport.close();
  });

  it("sends telemetry without an answer, and events without a sequence are acknowledged by id", async () => {
    const device = peer();
    await device.hello("m2");
    device.send(
      { type: "m2/tel", lane: "telemetry", payload: Buffer.from("1") },
      {
        id: "only-id",
        type: "m2/ev",
        lane: "event",
        contentType: "application/json",
        payload: Buffer.from("2"),
      },
    );
    expect((await device.control("ack")).ids).toEqual(["only-id"]);
    expect((await rig.messages("m2/tel", 1))[0]).toMatchObject({ lane: "telemetry", senderId: false });
    expect((await rig.messages("m2/ev", 1))[0]).toMatchObject({ contentType: "application/json" });
    device.transport.close();
  });

  it("gets a command as hardware command and its acknowledgement is waited for", async () => {
    const device = peer();
    await device.hello("m3");
    const path = "devices/m3/commands/relay";
    const sent = downlink(rig, "m3", { path, payload: '{"on":true,"n":2}', wait: true });
    const command = await device.next(({ type }) => type === path, "the command");
    expect(command.hardware).toEqual({ deviceId: "m3", command: "relay", params: { on: "true", n: "2" } });
    device.send({ control: { kind: "ack", ids: [command.id] } });
    expect(await sent).toEqual({ state: app.SendState.ACKNOWLEDGED, code: undefined });
    device.send({ id: "r1", lane: "event", result: { commandId: command.id, outcome: "executed" } });
    const [answer] = await rig.messages(`devices/m3/commands/${command.id}/response`, 1);
    expect(JSON.parse(answer!.text)).toMatchObject({ commandId: command.id, outcome: "executed" });
    device.transport.close();
  });

  it("refuses a command with its own code", async () => {
    const device = peer();
    await device.hello("m4");
    const sent = downlink(rig, "m4", { path: "x", payload: "", wait: true });
    const { id } = await device.next(({ type }) => type === "x", "the message");
    device.send({ control: { kind: "error", id, code: "queue.full", message: "no room" } });
    expect((await sent).code).toBe("queue.full");
    device.transport.close();
  });

  it("answers ping, is pinged when silent, and is disconnected after two misses", async () => {
    const device = peer("beats");
    await device.hello("m5");
    device.send({ control: { kind: "ping", nonce: 7 } });
    expect((await device.control("pong")).nonce).toBe(7);
    await device.control("ping");
    expect((await device.control("bye")).reason).toBe("heartbeat");
    await device.untilClosed();
    expect(rig.listener.connections.disconnects.get("", "m5")?.reason).toBe("heartbeat");
  });
});

describe("a session", () => {
  it.each([
    ["the same listener", () => rig],
    ["another listener", () => other],
  ])("is resumed on %s with what was not acknowledged, and only that", async (name, second) => {
    const id = name.replaceAll(" ", "-");
    const first = peer();
    const welcome = await first.hello(id);
    first.send(event(1, `${id}/t`), event(2, `${id}/t`));
    await waitFor(
      () => first.received.some(({ control }) => control?.kind === "ack" && control.sequence === 2),
      {
        what: "the ack",
      },
    );
    await downlink(rig, id, { path: "down/a", payload: "a" });
    await downlink(rig, id, { path: "down/b", payload: "b" });
    const a = await first.next(({ type }) => type === "down/a", "the first message");
    await first.next(({ type }) => type === "down/b", "the second message");
    first.send({ control: { kind: "ack", ids: [a.id] } }, { control: { kind: "ping", nonce: 1 } });
    await first.control("pong");
    first.transport.close();
    await waitFor(() => rig.listener.connections.disconnects.get("", id) !== undefined, {
      what: "the disconnect",
    });

    const again = peer("frames", second());
    const back = await again.hello(id, { resumeToken: welcome.resumeToken });
    expect(back).toMatchObject({ resumed: true, lastStoredSequence: 2 });
    const b = await again.next(({ type }) => type.startsWith("down/"), "what was not acknowledged");
    expect([b.type, b.sequence]).toEqual(["down/b", 2]);
    const later = await downlink(second(), id, { path: "down/c", payload: "c" });
    expect(later.code).toBeUndefined();
    const c = await again.next(({ type }) => type.startsWith("down/"), "the next message");
    expect([c.type, c.sequence]).toEqual(["down/c", 3]);
    again.transport.close();
  });

  it("is not given to another device, nor for a wrong secret", async () => {
    const first = peer();
    const { resumeToken } = await first.hello("mine");
    const thief = peer();
    expect((await thief.hello("thief", { resumeToken })).resumed).toBe(false);
    const wrong = Buffer.from(resumeToken!);
    wrong[wrong.length - 1]! ^= 1;
    const guesser = peer();
    expect((await guesser.hello("mine", { resumeToken: wrong })).resumed).toBe(false);
    for (const device of [first, thief, guesser]) device.transport.close();
  });

  it("ends with bye", async () => {
    const first = peer();
    const { resumeToken } = await first.hello("leaver");
    first.send({ control: { kind: "bye", reason: "done" } });
    await first.untilClosed();
    const again = peer();
    expect((await again.hello("leaver", { resumeToken })).resumed).toBe(false);
    again.transport.close();
  });

  it("that lives on elsewhere is taken over from its half-open connection", async () => {
    const first = peer();
    const { resumeToken } = await first.hello("half-open");
    const again = peer("frames", other);
    expect((await again.hello("half-open", { resumeToken })).resumed).toBe(true);
    expect((await first.control("bye")).reason).toBe("takeover");
    await first.untilClosed();
    again.transport.close();
  });
});

const HELLO = encodeMcpFrame({ control: { kind: "hello", version: 1, deviceId: "bad" } });
const header = (length: number): Buffer =>
  Buffer.concat([Buffer.from("MCP\x01"), Buffer.from(new Uint32Array([length]).buffer).swap32()]);

describe("malformed input", () => {
  it.each([
    ["garbage before hello", Buffer.from("GET / HTTP/1.1\r\n\r\n"), "contract.bad_frame", "malformed"],
    ["data before hello", encodeMcpFrame({ type: "t" }), "protocol.violation", "violation"],
    [
      "a length of 4 GB",
      Buffer.concat([HELLO, header(0xffff_ffff)]),
      "contract.frame_too_large",
      "frame_too_large",
    ],
    ["a second hello", Buffer.concat([HELLO, HELLO]), "protocol.violation", "violation"],
    [
      "an unknown version",
      encodeMcpFrame({ control: { kind: "hello", version: 9, deviceId: "bad" } }),
      "contract.unsupported_version",
      "malformed",
    ],
    [
      "a device id with control characters",
      encodeMcpFrame({ control: { kind: "hello", version: 1, deviceId: "a\n" } }),
      "protocol.malformed",
      "malformed",
    ],
    [
      "garbage without end",
      Buffer.concat([HELLO, Buffer.alloc(70_000, 0x61)]),
      "contract.bad_frame",
      "malformed",
    ],
  ])("of %s gets an error frame and the end", async (_, bytes, code, reason) => {
    const before = rig.listener.connections.counters.disconnects.tcp?.[reason as "malformed"] ?? 0;
    const device = peer();
    device.transport.send(bytes);
    expect((await device.control("error")).code).toBe(code);
    await device.untilClosed();
    expect(rig.listener.connections.counters.disconnects.tcp?.[reason as "malformed"]).toBe(before + 1);
  });

  it.each([
    ["a path with a wildcard", { id: "w", type: "a/+", lane: "event" as const }, "protocol.malformed"],
    ["an empty path", { id: "n", lane: "event" as const }, "protocol.malformed"],
    [
      "an id beyond its bound",
      { id: "x".repeat(300), type: "t", lane: "event" as const },
      "protocol.malformed",
    ],
  ])("of %s is refused alone", async (_, message, code) => {
    const device = peer();
    await device.hello("lives-on");
    device.send(message, event(9, "lives-on/t"));
    expect((await device.control("error")).code).toBe(code);
    expect((await device.control("ack")).sequence).toBe(9);
    device.transport.close();
  });

  it.each([
    ["no id", { type: "a/+", sequence: 1, lane: "event" as const }],
    ["an id beyond its bound", { id: "x".repeat(300), type: "t", sequence: 1, lane: "event" as const }],
  ])(
    "of an event with %s is not covered by a later ack: what follows is acknowledged by its id",
    async (_, refused) => {
      const device = peer();
      await device.hello("unnamed");
      device.send(refused, event(2, "unnamed/t"));
      await device.control("error");
      expect(await device.control("ack")).toMatchObject({ ids: ["e2"], sequence: 0 });
      device.transport.close();
    },
  );

  it("of a broken message between good ones is refused alone", async () => {
    const device = peer();
    await device.hello("resyncs");
    device.transport.send(
      Buffer.concat([header(2), Buffer.from([0x0a, 0x7f]), encodeMcpFrame(event(1, "resyncs/t"))]),
    );
    expect((await device.control("error")).code).toBe("contract.bad_frame");
    expect(await device.control("ack")).toMatchObject({ ids: ["e1"], sequence: 0 });
    device.transport.close();
  });

  it("is taken whole when it is cut at every byte", async () => {
    const bytes = Buffer.concat([HELLO, encodeMcpFrame(event(1, "cut/t"))]);
    for (let cut = 1; cut < bytes.length; cut++) {
      const device = peer();
      device.transport.send(bytes.subarray(0, cut));
      await waitFor(() => rig.listener.connections.size > 0, { what: "the connection" });
      device.transport.send(bytes.subarray(cut));
      expect((await device.control("ack")).sequence).toBe(1);
      device.transport.close();
    }
  });

  it("of any bytes harms nobody else", async () => {
    const neighbour = peer();
    await neighbour.hello("neighbour");
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 80 }), { maxLength: 6 }),
        fc.boolean(),
        async (parts, hello) => {
          const device = peer();
          device.transport.send(
            Buffer.concat([
              hello ? HELLO : Buffer.alloc(0),
              ...parts.flatMap((part) => [header(part.length), part]),
            ]),
          );
          device.transport.send(Buffer.from([1]));
          await waitFor(() => device.closed || device.received.length > 0, { what: "an answer" });
          device.transport.close();
        },
      ),
      { numRuns: 100 },
    );
    neighbour.send(event(1, "neighbour/t"));
    expect((await neighbour.control("ack")).sequence).toBe(1);
    neighbour.transport.close();
  });

  it("that never comes is waited for as long as the first packet may take", async () => {
    const device = peer();
    device.transport.send(HELLO.subarray(0, 9));
    await device.untilClosed();
    expect(rig.listener.connections.counters.disconnects.tcp?.first_packet).toBe(1);
  });
});

describe("lines of text", () => {
  const talk = (port: string, text: string, answers: number): Promise<string[]> =>
    new Promise((resolve, reject) => {
      const socket = connect(rig.port(port), "127.0.0.1", () => socket.write(text));
      let got = "";
      socket.on("data", (chunk) => {
        got += chunk.toString();
        if (got.split("\n").length > answers) socket.end();
      });
      socket.on("close", () => resolve(got.trimEnd().split("\n")));
      socket.on("error", reject);
    });

  it("need no line end when the client closes, as nc does", async () => {
    const socket = connect(rig.port("silent"), "127.0.0.1", () => socket.end('d1 nc/temp {"t":21.5}'));
    expect((await rig.messages("nc/temp", 1))[0]).toMatchObject({
      deviceId: "d1",
      text: '{"t":21.5}',
      lane: "event",
    });
  });

  it("are answered in their order where the port says so", async () => {
    const answers = await talk(
      "text",
      "d1 lines/t 1\n\nnonsense\nd2 lines/t 2 and more\r\nd1 a/# 3\nd1 lines/t 4\n",
      5,
    );
    expect(answers).toEqual(["ok", "error protocol.malformed", "ok", "error protocol.malformed", "ok"]);
    const seen = await rig.messages("lines/t", 3);
    expect(seen.map(({ deviceId, text }) => `${deviceId} ${text}`).sort()).toEqual([
      "d1 1",
      "d1 4",
      "d2 2 and more",
    ]);
  });

  it("that are too long end the connection", async () => {
    expect(await talk("text", `d1 t ${"x".repeat(3000)}`, 9)).toEqual(["error limit.frame_too_large"]);
  });
});
