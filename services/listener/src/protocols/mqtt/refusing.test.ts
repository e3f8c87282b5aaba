import { generate, type Packet } from "mqtt-packet";
import { describe, expect, it } from "vitest";
import { connectPacket } from "../../../test/mqtt-rig.js";
import { refusingConnect } from "./refusing.js";

const bytesOf = (version: 4 | 5, more: object = {}): Buffer =>
  generate(connectPacket("c", version, more) as Packet, { protocolVersion: version });
const hex = (answer: ReturnType<ReturnType<typeof refusingConnect>>): string | undefined =>
  answer instanceof Uint8Array ? Buffer.from(answer).toString("hex") : answer;
const places = refusingConnect("connections", "");

describe("a client for whom there is no place", () => {
  it.each([
    ["3.1.1", 4, "20020003"],
    ["5", 5, "200300 97 00".replaceAll(" ", "")],
  ] as const)("is told so in the terms of MQTT %s, as soon as its CONNECT is whole", (_, version, answer) => {
    const connect = bytesOf(version, { username: "u", password: Buffer.from("p") });
    for (let cut = 1; cut < connect.length; cut++) expect(places(connect.subarray(0, cut))).toBe("more");
    expect(hex(places(connect))).toBe(answer);
    expect(hex(refusingConnect("address", "")(connect))).toBe(answer);
  });

  it("is told so by the beginning of a CONNECT that is long", () => {
    const will = { topic: "w", payload: Buffer.alloc(30_000), qos: 0, retain: false };
    const connect = bytesOf(5, { will });
    expect(places(connect.subarray(0, 8_000))).toBe("more");
    expect(hex(places(connect.subarray(0, 9_000)))).toBe("2003009700");
  });

  it("is sent elsewhere while the listener drains, where there is an elsewhere and the packet is not too large", () => {
    const roomy = bytesOf(5);
    const tight = bytesOf(5, { properties: { maximumPacketSize: 8 } });
    const elsewhere = refusingConnect("draining", "other:1883");
    expect(hex(elsewhere(roomy))).toBe(`2010009c0d1c000a${Buffer.from("other:1883").toString("hex")}`);
    expect(hex(elsewhere(tight))).toBe("2003008800");
    expect(hex(refusingConnect("draining", "")(roomy))).toBe("2003008800");
    expect(hex(elsewhere(bytesOf(4)))).toBe("20020003");
  });

  it("is not told what it cannot take", () => {
    expect(places(bytesOf(5, { properties: { maximumPacketSize: 4 } }))).toBeUndefined();
  });

  it.each([
    ["another packet", "c000"],
    ["another protocol", "100c00044d515458040200000000"],
    ["an endless length", "10ffffffffff"],
    ["reserved flags", "110c00044d515454040200000000"],
  ])("is closed without a word for %s", (_, bytes) => {
    expect(places(Buffer.from(bytes, "hex"))).toBeUndefined();
  });
});
