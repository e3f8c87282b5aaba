import { decodeMcpDatagram, encodeMcpFrame } from "@myelin/contract";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BINARY_TEMPERATURE, MCPMessageHandler, structuredFormat, temperature } from "./index.js";

const bad = expect.objectContaining({ code: "contract.bad_payload" });
const overTheWire = (message: Parameters<typeof encodeMcpFrame>[0]) =>
  decodeMcpDatagram(encodeMcpFrame(message));

describe("the temperature handler", () => {
  it("brings any reading through an MCP frame, as JSON", () => {
    fc.assert(
      fc.property(fc.double({ min: -273.15, max: 1e6, noNaN: true }), (celsius) => {
        const parsed = temperature.parse(overTheWire(temperature.serialize({ celsius })));
        // JSON has no negative zero.
        expect(parsed.celsius).toBe(celsius + 0);
      }),
    );
  });

  it("brings hundredths of a degree through two bytes", () => {
    fc.assert(
      fc.property(fc.integer({ min: -27_315, max: 32_767 }), (hundredths) => {
        const message = overTheWire(temperature.serialize({ celsius: hundredths / 100 }, BINARY_TEMPERATURE));
        expect(message.payload).toHaveLength(2);
        expect(temperature.parse(message).celsius).toBe(hundredths / 100);
      }),
    );
  });

  it("reads what a sensor or a script sends", () => {
    const json = Buffer.from('{"celsius":21.5,"place":"hall"}');
    expect(temperature.parse({ payload: json, contentType: "" })).toEqual({ celsius: 21.5 });
    expect(temperature.parse({ payload: json, contentType: "application/json; charset=utf-8" })).toEqual({
      celsius: 21.5,
    });
    expect(
      temperature.parse({ payload: Buffer.from("0866", "hex"), contentType: BINARY_TEMPERATURE }),
    ).toEqual({
      celsius: 21.5,
    });
  });

  it.each([
    ["another type", { type: "humidity", contentType: "", payload: Buffer.from('{"celsius":1}') }],
    ["an unknown content type", { contentType: "text/plain", payload: Buffer.from("21.5") }],
    ["a word for a number", { contentType: "", payload: Buffer.from('{"celsius":"warm"}') }],
    ["no object", { contentType: "", payload: Buffer.from("null") }],
    ["broken JSON", { contentType: "", payload: Buffer.from('{"celsius"') }],
    ["less than absolute zero", { contentType: "", payload: Buffer.from('{"celsius":-274}') }],
    ["three bytes", { contentType: BINARY_TEMPERATURE, payload: Buffer.alloc(3) }],
    [
      "two bytes below absolute zero",
      { contentType: BINARY_TEMPERATURE, payload: Buffer.from("8000", "hex") },
    ],
  ])("refuses %s", (_, message) => {
    expect(() => temperature.parse(message)).toThrow(bad);
  });

  it("refuses to write what two bytes do not hold", () => {
    for (const celsius of [328, -274, Number.NaN]) {
      expect(() => temperature.serialize({ celsius }, BINARY_TEMPERATURE)).toThrow(bad);
    }
    expect(() => temperature.serialize({ celsius: 1 }, "text/plain")).toThrow(bad);
  });
});

describe("MCPMessageHandler", () => {
  it("writes MessagePack for a type of the application's own", () => {
    const door = new MCPMessageHandler(
      "door",
      structuredFormat("msgpack", (v) => v as { open: boolean }),
    );
    const message = overTheWire(door.serialize({ open: true }));
    expect(message).toMatchObject({ type: "door", contentType: "application/msgpack" });
    expect(door.parse(message)).toEqual({ open: true });
    expect(door.parse({ ...message, contentType: "application/x-msgpack" })).toEqual({ open: true });
  });
});
