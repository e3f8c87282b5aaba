import { createSocket } from "node:dgram";
import { encodeMcpFrame } from "@myelin/contract";
import { waitFor } from "@myelin/testkit";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { downlink, type Rig, startRig } from "../../../test/listener-rig.js";
import { McpPeer } from "../../../test/mcp-peer.js";

let rig: Rig;
const sockets: { close(): void }[] = [];

beforeAll(async () => {
  rig = await startRig({ udp: { gram: { maxUnanswered: 1000 }, slow: { ratePerSecond: 1, rateBurst: 2 } } });
});
afterAll(async () => {
  await rig[Symbol.asyncDispose]();
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.close();
});

function client(port = "gram") {
  const socket = createSocket("udp4");
  const answers: Buffer[] = [];
  socket.on("message", (bytes) => answers.push(bytes));
  sockets.push(socket);
  const send = (bytes: Buffer | string): void => socket.send(bytes, rig.port(port), "127.0.0.1");
  return {
    answers,
    send,
    async answer(): Promise<string> {
      await waitFor(() => answers.length > 0, { what: "an answer" });
      return answers.shift()!.toString();
    },
    peer(): McpPeer {
      const peer = new McpPeer({ send, close: () => {} });
      socket.on("message", (bytes) => peer.onBytes(bytes));
      return peer;
    },
  };
}

describe("the rate of a device", () => {
  it.each(["json", "mcp", "a session"])(
    "stops what is beyond it in %s and not its neighbour",
    async (form) => {
      await using limited = await startRig(
        { udp: { gram: {} } },
        {
          nats: rig.nats,
          instance: `limited-${form}`,
          settings: { deviceRatePerSecond: 1, deviceRateBurst: 5 },
        },
      );
      const socket = createSocket("udp4");
      sockets.push(socket);
      const answers: string[] = [];
      socket.on("message", (bytes) => answers.push(bytes.toString("latin1")));
      const send = (bytes: Buffer | string): void => socket.send(bytes, limited.port("gram"), "127.0.0.1");
      const event = (deviceId: string, id: string): Buffer | string =>
        form === "json"
          ? JSON.stringify({ device: deviceId, path: "u/device-rate", payload: 1, id })
          : encodeMcpFrame({ id, type: "u/device-rate", lane: "event", deviceId, payload: Buffer.alloc(50) });
      if (form === "a session") {
        const peer = new McpPeer({ send, close: () => {} });
        socket.on("message", (bytes) => peer.onBytes(bytes));
        await peer.hello("fast");
        answers.length = 0;
      }
      for (let i = 0; i < 30; i++) send(event("fast", `event-${i}`));
      const refused = (): number => answers.filter((answer) => answer.includes("limit.rate")).length;
      await waitFor(() => answers.join().includes("event-4") && refused() >= 20, { what: "30 answers" });
      const neighbour = createSocket("udp4");
      sockets.push(neighbour);
      const answer = new Promise<Buffer>((resolve) => neighbour.once("message", resolve));
      neighbour.send(event("slow", "event-n"), limited.port("gram"), "127.0.0.1");
      expect((await answer).toString("latin1")).toContain("event-n");
      expect((await answer).toString("latin1")).not.toContain("limit.rate");
    },
  );
});

describe("an event of a session from another address", () => {
  it("is not refused: its device is told to begin anew, and is let in with its session", async () => {
    const first = client().peer();
    const { resumeToken } = await first.hello("moved");
    const moved = client().peer();
    const event = {
      id: "e1",
      sequence: 1,
      lane: "event",
      type: "u/moved",
      payload: Buffer.alloc(50),
    } as const;
    moved.send(event);
    expect(await moved.control("error")).toMatchObject({ code: "protocol.violation", id: "" });
    expect(await moved.hello("moved", { resumeToken })).toMatchObject({ resumed: true });
    moved.send(event);
    expect((await moved.control("ack")).ids).toEqual(["e1"]);
    expect(await rig.messages("u/moved", 1)).toHaveLength(1);
  });
});

describe("a JSON datagram", () => {
  it("is stored and acknowledged by its id, also with a line end behind it", async () => {
    const { send, answer } = client();
    send('{"device":"u1","path":"u/json","payload":{"t":21.50},"id":"a1"}\n');
    expect(await answer()).toBe('{"ack":"a1"}\n');
    expect((await rig.messages("u/json", 1))[0]).toMatchObject({
      lane: "event",
      deviceId: "u1",
      text: '{"t":21.50}',
      contentType: "application/json",
      senderId: true,
    });
  });

  it("sent twice gets the same envelope id, by which it is taken once", async () => {
    const { send, answer } = client();
    for (let i = 0; i < 2; i++) {
      send('{"device":"u1","path":"u/twice","payload":1,"id":7}');
      expect(await answer()).toBe('{"ack":"7"}\n');
    }
    const [one, two] = await rig.messages("u/twice", 2);
    expect(one!.id).toEqual(two!.id);
  });

  it("of the telemetry lane is not answered", async () => {
    const { send, answers } = client();
    send('{"device":"u1","path":"u/tel","payload":1,"lane":"telemetry"}');
    await rig.messages("u/tel", 1);
    expect(answers).toEqual([]);
  });

  it.each([
    ["no object", "{1}", undefined],
    ["an unknown field", '{"device":"d","path":"p","payload":1,"lain":1}', "contract.bad_payload"],
    ["a wildcard in its path", '{"device":"d","path":"a/#","payload":1,"id":"x"}', "protocol.malformed"],
    ["no device", '{"path":"a","payload":1,"some":"padding for the answer"}', "contract.bad_payload"],
  ])("with %s gets an error that is not larger", async (_, text, code) => {
    const { send, answer, answers } = client();
    send(text);
    if (code === undefined) {
      send('{"device":"u1","path":"u/after","payload":1}');
      expect(await answer()).toBe('{"ack":""}\n');
      expect(answers).toEqual([]);
      return;
    }
    const got = await answer();
    expect(JSON.parse(got).error).toBe(code);
    expect(got.length).toBeLessThanOrEqual(text.length);
  });
});

describe("an MCP datagram", () => {
  it("without a session names its device and is acknowledged by id", async () => {
    const peer = client().peer();
    peer.send({ id: "m1", deviceId: "u2", type: "u/mcp", lane: "event", payload: Buffer.from("x") });
    expect((await peer.control("ack")).ids).toEqual(["m1"]);
    expect((await rig.messages("u/mcp", 1))[0]).toMatchObject({ deviceId: "u2", text: "x" });
  });

  it("of a session is acknowledged by id, and the device is reached and resumed from another address", async () => {
    const first = client().peer();
    const { resumeToken } = await first.hello("u3");
    first.send({ id: "s1", type: "u/session", sequence: 1, lane: "event", payload: Buffer.from("1") });
    expect(await first.control("ack")).toMatchObject({ ids: ["s1"], sequence: 0 });
    expect((await downlink(rig, "u3", { path: "down", payload: "hi" })).code).toBeUndefined();
    await first.next(({ type }) => type === "down", "the message");
    const again = client().peer();
    expect(await again.hello("u3", { resumeToken })).toMatchObject({ resumed: true, lastStoredSequence: 1 });
    expect((await again.next(({ type }) => type === "down", "the message again")).payload.toString()).toBe(
      "hi",
    );
  });

  it("whose welcome was lost says hello again and is welcomed again", async () => {
    const peer = client().peer();
    await peer.hello("u4");
    await peer.hello("u4");
    peer.send({ id: "h1", type: "u/hello", lane: "event" });
    expect((await peer.control("ack")).ids).toEqual(["h1"]);
    expect(peer.received.some(({ control }) => control?.kind === "bye")).toBe(false);
  });
});

describe("anything else", () => {
  it("is counted and gets no answer larger than itself", async () => {
    const { send, answers, answer } = client();
    const frame = encodeMcpFrame({ id: "x", deviceId: "u9", type: "u/cut", lane: "event" });
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.uint8Array({ minLength: 1, maxLength: 64 }),
          fc.nat(frame.length - 1).map((cut) => frame.subarray(0, cut)),
          fc.string({ maxLength: 30 }).map((text) => Buffer.from(`{${text}`)),
        ),
        async (bytes) => {
          send(Buffer.from(bytes));
          send('{"device":"u1","path":"u/fuzz","payload":1}');
          await waitFor(() => answers.at(-1)?.toString() === '{"ack":""}\n', { what: "the neighbour's ack" });
          for (const got of answers.slice(0, -1)) expect(got.length).toBeLessThanOrEqual(bytes.length);
          answers.length = 0;
        },
      ),
      { numRuns: 60 },
    );
    send('{"device":"u1","path":"u/fuzz","payload":1}');
    expect(await answer()).toBe('{"ack":""}\n');
  });

  it("beyond the rate of its address is dropped", async () => {
    const { send } = client("slow");
    for (let i = 0; i < 50; i++) send(`{"device":"u1","path":"u/rate","payload":${i},"lane":"telemetry"}`);
    const after = client();
    after.send('{"device":"u1","path":"u/rate-after","payload":1}');
    await after.answer();
    expect((await rig.messages("u/rate", 2)).length).toBeLessThan(10);
  });
});
