import { mkdir, writeFile } from "node:fs/promises";
import { checkValue, type DeviceProfileSpec, deviceProfileKind } from "@myelin/config";
import { envelope, payloadCodecs } from "@myelin/contract";
import { Profile } from "@myelin/profile";
import { tempDir } from "@myelin/testkit";
import protobuf from "protobufjs";
import { describe, expect, it } from "vitest";
import type { TransformStep } from "../core/route.js";
import { compileTransform } from "../transform.js";
import { renameFields, selectFields } from "./fields.js";

const BOILER = new Profile(
  "boiler",
  checkValue(deviceProfileKind.spec, {
    payloads: [{ topics: ["boilers/#"], format: "json" }],
    points: { temperature: { unit: "Cel", from: { field: "t" } }, pressure: { from: { field: "p" } } },
  }).value as DeviceProfileSpec,
);

async function run(
  steps: readonly TransformStep[],
  payload: string | Uint8Array,
  event = true,
  dir = "/none",
  more: Partial<envelope.Envelope> = {},
) {
  const context = { resourcesDir: dir, profile: (name: string) => (name === "boiler" ? BOILER : undefined) };
  const transform = await compileTransform("r", steps, context);
  const message = envelope.Envelope.fromPartial({
    channel: 7,
    deviceId: "d",
    path: "boilers/1",
    payload: Buffer.from(payload),
    ...more,
  });
  const made = transform.apply(envelope.Envelope.encode(message).finish(), event);
  return made instanceof Uint8Array ? envelope.Envelope.decode(made) : made;
}

describe("selecting and renaming fields", () => {
  const reading = { t: 21, h: { in: 40, out: 60 }, ok: true };

  it("keeps the named fields, nested ones in their place", () => {
    expect(selectFields(reading, ["t", "h.out", "missing", "t.x"])).toEqual({ t: 21, h: { out: 60 } });
    expect(selectFields([reading, { t: 1 }], ["t"])).toEqual([{ t: 21 }, { t: 1 }]);
  });

  it("moves fields, also onto each other, and changes nothing of what it was given", () => {
    expect(renameFields(reading, { t: "h.temperature", "h.in": "inside" })).toEqual({
      h: { out: 60, temperature: 21 },
      ok: true,
      inside: 40,
    });
    expect(renameFields({ a: 1, b: 2 }, { a: "b", b: "a" })).toEqual({ a: 2, b: 1 });
    expect(reading).toEqual({ t: 21, h: { in: 40, out: 60 }, ok: true });
  });

  it("takes __proto__ for a name like any other", () => {
    const out = renameFields({ a: { x: 1 } }, { a: "__proto__" }) as object;
    expect([Object.getPrototypeOf(out), Object.keys(out)]).toEqual([Object.prototype, ["__proto__"]]);
    expect(selectFields({}, ["__proto__.toString", "constructor"])).toEqual({});
  });

  it.each([[1], ["text"], [null]])("refuses %j, which has no fields", (value) => {
    expect(() => selectFields(value, ["a"])).toThrow(
      expect.objectContaining({ code: "contract.bad_payload" }),
    );
    expect(() => renameFields(value, { a: "b" })).toThrow(
      expect.objectContaining({ code: "contract.bad_payload" }),
    );
  });
});

describe("a transformation", () => {
  it("rewrites payload and content type, and frees the message of its origin's channel", async () => {
    const steps = [{ codec: "json", to: "msgpack", select: ["t", "h"], rename: { t: "temperature" } }];
    const made = await run(steps, '{"t":21.5,"h":40,"noise":1}');
    expect(made).toMatchObject({ channel: 0, deviceId: "d", contentType: payloadCodecs.msgpack.contentType });
    const { payload } = made as envelope.Envelope;
    expect(payloadCodecs.msgpack.decode(payload)).toEqual({ temperature: 21.5, h: 40 });
  });

  it("runs its steps one after the other", async () => {
    const steps = [
      { codec: "json", to: "msgpack", rename: { a: "b" } },
      { codec: "msgpack", to: "json", rename: { b: "c" } },
    ];
    const { payload } = (await run(steps, '{"a":1}')) as envelope.Envelope;
    expect(Buffer.from(payload).toString()).toBe('{"c":1}');
  });

  it.each<[string, TransformStep["onError"], boolean, string | undefined]>([
    ["an event is kept with the unrouted", undefined, true, "unrouted"],
    ["telemetry is dropped", undefined, false, "drop"],
    ["the policy may say drop", "drop", true, "drop"],
    ["the policy may pass it on as it is", "pass", true, undefined],
  ])("of what cannot be read: %s", async (_, onError, event, expected) => {
    expect(await run([{ codec: "json", to: "msgpack", onError }], "not json", event)).toBe(expected);
  });

  it("is refused for a codec that is not there", async () => {
    await expect(run([{ codec: "toString" }], "")).rejects.toMatchObject({ code: "route.invalid" });
  });
});

const PROTO = `syntax = "proto3"; package plant; import "common/unit.proto";
message Reading { double t = 1; string name = 2; uint64 count = 3; common.Unit unit = 4; }`;
const UNIT = `syntax = "proto3"; package common; enum Unit { UNKNOWN = 0; CELSIUS = 1; }`;

describe("codec profile", () => {
  const step = (more: object = {}): TransformStep => ({
    codec: "profile",
    profile: "boiler",
    to: "json",
    ...more,
  });

  it("makes samples of a payload, bad ones of what is wrong", async () => {
    const made = (await run([step()], '{"t":21.5,"p":"high"}')) as envelope.Envelope;
    expect(made.contentType).toBe("application/json");
    expect(JSON.parse(Buffer.from(made.payload).toString())).toEqual([
      { point: "temperature", value: 21.5, unit: "Cel", quality: "good", timeUs: 0 },
      { point: "pressure", value: null, quality: "bad", reason: "wrong_type", raw: "high", timeUs: 0 },
    ]);
  });

  it("says of samples no more than the message says of itself", async () => {
    const made = (await run([step({ select: ["quality"] })], '{"t":21.5}', true, "/none", {
      quality: envelope.Quality.UNCERTAIN,
    })) as envelope.Envelope;
    expect(Buffer.from(made.payload).toString()).toBe('[{"quality":"uncertain"}]');
  });

  it("leaves a message whose path the profile does not know to the policy", async () => {
    expect(await run([step()], "{}", true, "/none", { path: "other" })).toBe("unrouted");
    expect(await run([step({ onError: "pass" })], "{}", true, "/none", { path: "other" })).toBeUndefined();
  });

  it("is refused for a profile that is not in force", async () => {
    await expect(run([step({ profile: "kiln" })], "")).rejects.toMatchObject({
      code: "route.invalid",
      message: "there is no device profile kiln in force",
    });
  });
});

describe("codec protobuf", () => {
  it("reads and writes a type of a .proto file, with what it imports", async () => {
    await using dir = await tempDir("proto");
    await mkdir(dir.join("common"));
    await writeFile(dir.join("plant.proto"), PROTO);
    await writeFile(dir.join("common/unit.proto"), UNIT);
    const options = { file: "plant.proto", message: "plant.Reading" };
    const root = await protobuf.load([dir.join("common/unit.proto")]);
    expect(root.lookupEnum("common.Unit").values).toMatchObject({ CELSIUS: 1 });
    const to = [{ codec: "json", to: "protobuf", protobuf: options }];
    const text = '{"t":21.5,"name":"b","count":"9007199254740993","unit":"CELSIUS"}';
    const { payload } = (await run(to, text, true, dir.path)) as envelope.Envelope;
    const back = [{ codec: "protobuf", to: "json", protobuf: options }];
    const { payload: json } = (await run(back, payload, true, dir.path)) as envelope.Envelope;
    expect(JSON.parse(Buffer.from(json).toString())).toEqual(JSON.parse(text));
    expect(await run(back, Buffer.from([0xff, 0xff]), true, dir.path)).toBe("unrouted");
    expect(await run(to, '{"t":"warm"}', true, dir.path)).toBe("unrouted");
  });

  it.each([
    [{ file: "../x.proto", message: "M" }],
    [{ file: "/etc/passwd", message: "M" }],
    [{ file: "missing.proto", message: "M" }],
  ])("refuses %j", async (options) => {
    await using dir = await tempDir("proto");
    await expect(run([{ codec: "protobuf", protobuf: options }], "", true, dir.path)).rejects.toMatchObject({
      code: "route.invalid",
    });
  });

  it("refuses an import that leads out of the directory", async () => {
    await using dir = await tempDir("proto");
    await writeFile(dir.join("a.proto"), 'syntax = "proto3"; import "../../etc/x.proto"; message M {}');
    const options = { file: "a.proto", message: "M" };
    await expect(run([{ codec: "protobuf", protobuf: options }], "", true, dir.path)).rejects.toMatchObject({
      code: "route.invalid",
    });
  });
});
