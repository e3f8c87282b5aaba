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
