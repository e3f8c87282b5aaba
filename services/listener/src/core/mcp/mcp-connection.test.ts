import { encodeMcpFrame, MCP_HEADER_BYTES } from "@myelin/contract";
import { describe, expect, it } from "vitest";
import { mcpRig } from "../../../test/mcp-rig.js";

const message = (type: string, more: object = {}) => ({ type, payload: Buffer.from("1"), ...more });

describe("a gateway that speaks for its children", () => {
  it("is asked about every child and every path, and about both again when the rules have changed", () => {
    const rig = mcpRig();
    rig.admission.refusedPaths.add("devices/b/t/1");
    const gateway = rig.device("gate");
    const say = (deviceId: string, type: string, more: object = {}): unknown => {
      gateway.send(message(type, { deviceId, id: "i", ...more }));
      const [error] = gateway.heard("error");
      return error?.code ?? rig.events.taken.at(-1)?.deviceId;
    };
    expect([say("b", "t/0"), say("b", "t/1"), say("a", "t/1")]).toEqual(["b", "auth.not_authorized", "a"]);
    expect(say("b", "t/1", { contentType: "text/plain" })).toBe("auth.not_authorized");
    expect(say("b", "t/0", { contentType: "text/plain" })).toBe("b");
    rig.admission.refusedPaths.add("devices/a/t/1");
    rig.admission.change();
    expect([say("a", "t/1"), say("b", "t/0")]).toEqual(["auth.not_authorized", "b"]);
    // The child's own rights count too.
    rig.admission.refusedPaths.add("t/2");
    expect(say("a", "t/2")).toBe("auth.not_authorized");
  });

  it("asks admission once for each, whatever it sends", () => {
    const rig = mcpRig();
    const gateway = rig.device("gate");
    for (let i = 0; i < 5; i++)
      gateway.send(message("t", { deviceId: "a" }), message("t"), message("u", { deviceId: "a" }));
    expect(rig.admission.asked).toEqual(["devices/a/t", "t", "t", "devices/a/u", "u"]);
    expect(rig.events.taken).toHaveLength(15);
  });
});

describe("a message that is well-formed and says what cannot be passed on", () => {
  const result = { commandId: "c", status: "executed", errorCode: "", readback: Buffer.alloc(0) };
  it.each([
    ["a result for a topic with a wildcard", { type: "a/#", result }],
    ["a result for a topic with NUL", { type: "a\0b", result }],
    ["a response path with a wildcard", { responsePath: "a/+" }],
    ["a response path that is too long", { responsePath: "a".repeat(65_536) }],
    ["a correlation that is too long", { correlation: Buffer.alloc(65_536) }],
    ["a content type with NUL", { contentType: "a\0b" }],
    ["a content type that is too long", { contentType: "a".repeat(65_536) }],
  ])("as %s, is refused by its name, and the next one is taken", (_, more) => {
    const rig = mcpRig();
    const device = rig.device("d");
    device.send(message("t", { id: "bad", lane: "event", ...more }));
    expect(device.heard("error")).toMatchObject([{ id: "bad" }]);
    device.send(message("t", { id: "good", lane: "event" }));
    rig.events.settle();
    expect(device.heard("ack")).toMatchObject([{ ids: ["good"] }]);
    expect(rig.events.taken).toHaveLength(1);
  });
});

describe("bytes that cannot be read", () => {
  const event = (sequence: number) =>
    encodeMcpFrame(message("t", { sequence, id: `e${sequence}`, lane: "event" }));
  const broken = event(2);
  // A field of a wire type that there is none of.
  broken[MCP_HEADER_BYTES] = 0xff;

  it.each([
    ["a frame that is broken", broken],
    ["a frame whose magic is broken", Buffer.concat([Buffer.from("x"), event(2).subarray(1)])],
  ])(
    "as %s, stop the counted acknowledgements before them; what follows is acknowledged by name",
    (_, garbage) => {
      const rig = mcpRig();
      const device = rig.device("d");
      device.raw(Buffer.concat([event(1), garbage, event(3), event(4)]));
      rig.events.settle();
      expect(device.heard("ack")).toMatchObject([{ sequence: 1, ids: ["e3", "e4"] }]);
      expect(rig.events.taken).toHaveLength(3);
      // The device sends it again, under its name.
      device.raw(event(2));
      rig.events.settle();
      expect(device.heard("ack")).toMatchObject([{ sequence: 0, ids: ["e2"] }]);
      expect(device.connection.session?.storedSequence).toBeLessThan(2);
    },
  );
});

describe("messages that are kept when their connection ends", () => {
  const held = () => {
    const rig = mcpRig();
    const device = rig.device("d");
    rig.telemetry.setCongested(true);
    device.send(message("t", { lane: "telemetry" }), message("t", { lane: "event" }));
    device.send(message("t", { lane: "telemetry" }));
    expect([rig.telemetry.taken.length, rig.events.taken.length]).toEqual([0, 0]);
    return { rig, device };
  };

  it.each([
    ["is lost", "onClosed"],
    ["is taken over", "takenOver"],
  ] as const)("are taken when it %s: the senders count each of them", (_, end) => {
    const { rig, device } = held();
    device.connection[end]();
    expect([rig.telemetry.taken.length, rig.events.taken.length]).toEqual([2, 1]);
    expect(rig.manager.counters.lostBytes).toEqual({});
  });

  it("are not taken from a client whose user is gone: their bytes are counted", () => {
    const { rig, device } = held();
    device.connection.disconnect("revoked");
    device.connection.onClosed();
    expect([rig.telemetry.taken.length, rig.events.taken.length]).toEqual([0, 0]);
    expect(rig.manager.counters.lostBytes.tcp).toBeGreaterThan(0);
  });
});
