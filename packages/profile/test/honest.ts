/** What must hold of samples for whatever a device sends. */
import { checkValue, type DeviceProfileSpec, deviceProfileKind } from "@myelin/config";
import { payloadCodecs } from "@myelin/contract";
import fc from "fast-check";
import { Profile, type Sample } from "../src/index.js";

interface PointOptions {
  readonly type: string;
  readonly range?: { readonly min: number; readonly max: number };
  readonly scale?: number;
  readonly faults?: readonly number[];
}

const FAULT = 7;
const NOW_US = Date.UTC(2026, 5, 1) * 1000;

const point = fc
  .record(
    {
      type: fc.constantFrom("number", "integer", "boolean", "string"),
      range: fc.record({ min: fc.integer({ min: -50, max: 0 }), max: fc.integer({ min: 1, max: 50 }) }),
      scale: fc.integer({ min: 1, max: 4 }),
      faults: fc.constant([FAULT]),
    },
    { requiredKeys: ["type"] },
  )
  .map((options): PointOptions => {
    const isNumeric = options.type === "number" || options.type === "integer";
    return isNumeric ? (options as PointOptions) : { type: options.type };
  });

function decode(pointSpec: object, format: string, payload: Uint8Array): readonly Sample[] {
  const { value, problems } = checkValue(deviceProfileKind.spec, {
    payloads: [{ format }],
    points: { x: { from: { field: "x" }, ...pointSpec } },
  });
  const all = [...problems, ...(deviceProfileKind.check?.(value) ?? [])];
  if (all.length > 0) throw new Error(`the profile of the test is wrong: ${JSON.stringify(all)}`);
  const profile = new Profile("p", value as DeviceProfileSpec);
  const message = { path: "t", payload, ingestTimeUs: NOW_US, sourceTimeUs: 0, quality: "good" } as const;
  return profile.decode(message) ?? [];
}

/** Why a sample is none that a consumer could rely on; undefined: it is. */
function lieOf(sample: Sample, { type, range }: PointOptions): string | undefined {
  const { value, quality, reason } = sample;
  if (!Number.isSafeInteger(sample.timeUs)) return "its time is none";
  if ((reason === undefined) !== (quality === "good")) return "the reason does not suit the quality";
  if ((value === null) !== (quality === "bad")) return "the value does not suit the quality";
  if (value === null) return undefined;
  const expected = type === "integer" ? "number" : type;
  const found: string = typeof value;
  if (found !== expected) return "the value has another type";
  if (typeof value !== "number") return undefined;
  if (!Number.isFinite(value)) return "the value is not finite";
  if (type === "integer" && !Number.isSafeInteger(value)) return "the value is no exact integer";
  return range !== undefined && (value < range.min || value > range.max)
    ? "the value is outside of the range"
    : undefined;
}

function expectHonest(samples: readonly Sample[], options: PointOptions): void {
  for (const sample of samples) {
    const lie = lieOf(sample, options);
    if (lie !== undefined) throw new Error(`${lie}: ${JSON.stringify(sample)}`);
  }
}

const format = fc.constantFrom("json" as const, "msgpack" as const);
const anything = fc.oneof(
  fc.jsonValue(),
  fc.record({ x: fc.oneof(fc.constant(FAULT), fc.jsonValue(), fc.double(), fc.maxSafeInteger()) }),
);

/** Values in JSON and MessagePack. */
export const honestValues = fc.property(point, anything, format, (options, value, codec) => {
  const samples = decode(options, codec, payloadCodecs[codec].encode(value));
  expectHonest(samples, options);
  const isThere = typeof value === "object" && value !== null && Object.hasOwn(value, "x");
  if (!isThere) return;
  if (samples.length !== 1) throw new Error("a point that is in the payload is not spoken of");
  const x = (value as { x: unknown }).x;
  if (x === FAULT && options.faults !== undefined && samples[0]?.reason !== "fault")
    throw new Error("a fault of the device is not told");
});

/** Numbers in bytes, at places that may lie beyond the end. */
export const honestBytes = fc.property(
  fc.constantFrom("int8", "uint16", "int32", "uint64", "float32", "float64"),
  point,
  fc.uint8Array({ maxLength: 12 }),
  fc.nat(6),
  (as, options, bytes, offset) => {
    if (options.type === "string" || (as.startsWith("float") && options.type !== "number")) return;
    const samples = decode(
      { ...options, from: { bytes: { offset, as } }, whenMissing: "bad" },
      "binary",
      bytes,
    );
    if (samples.length !== 1) throw new Error("a point is not spoken of");
    expectHonest(samples, options);
  },
);

/** Noise where JSON or MessagePack is expected. */
export const honestNoise = fc.property(
  point,
  fc.uint8Array({ maxLength: 48 }),
  format,
  (options, bytes, codec) => expectHonest(decode(options, codec, bytes), options),
);
