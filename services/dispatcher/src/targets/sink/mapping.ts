/** Turns payloads into readings. */
import { isUtf8 } from "node:buffer";
import type { SinkSpec } from "@myelin/config";
import { type BatchView, codecForContentType, isSampleBlock, payloadCodecs, Quality } from "@myelin/contract";
import {
  READING_QUALITIES,
  type ReadingBlock,
  type ReadingQuality,
  type ReadingValue,
  toReference,
} from "@myelin/data-store";
import { decodeSampleBlock, type Profile, type Sample } from "@myelin/profile";

/** A message with more points is kept as one value: it is a document, not a set of measurements. */
const MAX_POINTS = 1_000;
const MAX_NAME = 512;
/** The year 2255, until which microseconds are whole numbers. */
const MAX_TIME_US = Number.MAX_SAFE_INTEGER;
const US_PER = { s: 1_000_000, ms: 1_000, us: 1 } as const;

const NO_VALUE: ReadingValue = { kind: "none", value: null };

type Point = readonly [name: string, value: ReadingValue];

/** For one mapping; keeps nothing between messages. */
export class Mapper {
  private readonly wanted: ReadonlySet<string> | undefined;

  constructor(private readonly spec: SinkSpec["mapping"]) {
    this.wanted = spec.points === undefined ? undefined : new Set(spec.points);
  }

  /** Payloads are read by the profile of their device, where it reads them. */
  get isByProfile(): boolean {
    return this.spec.by !== "fields";
  }

  /** Adds the readings of the envelope on which the view stands; how many there were. @param profile that of its device, if that counts */
  map(view: BatchView, block: ReadingBlock, profile?: Profile): number {
    const payload = view.payload();
    if (payload.length === 0) return 0;
    const { contentType } = view;
    if (isSampleBlock(view.protocol, contentType)) {
      const measured = decodeSampleBlock(payload);
      if (measured !== undefined) return this.keep(measured, view, block);
    }
    const value = decode(contentType, payload);
    const samples = this.spec.depth === 0 ? undefined : toSamples(value);
    if (samples !== undefined) return this.keep(samples, view, block);
    const { path, ingestTimeUs, sourceTimeUs } = view;
    const read = profile?.decode({
      path,
      payload,
      ingestTimeUs,
      sourceTimeUs,
      quality: qualityOf(view.quality),
    });
    if (read !== undefined) return this.keep(read, view, block);
    const points = this.points(value, payload);
    let quality = qualityOf(view.quality);
    let reason = quality === "good" ? "" : view.qualityReason;
    let timeUs = view.sourceTimeUs || view.ingestTimeUs;
    const { time } = this.spec;
    if (time !== undefined) {
      const own = timeOf(at(value, time.field), time.unit);
      if (own !== undefined) timeUs = own;
      // It was measured at some other time than the one it is kept under.
      else if (quality === "good") {
        quality = "uncertain";
        reason = "time_unreadable";
      }
    }
    const ref = toReference(view.id());
    const { tenant, deviceId } = view;
    let count = 0;
    for (const [name, what] of points) {
      if (this.wanted?.has(name) === false || name === time?.field) continue;
      block.add(block.seriesNumber(tenant, deviceId, path, name), timeUs, what, quality, ref, reason);
      count += 1;
    }
    return count;
  }

  /** Samples say all there is to know themselves. */
  private keep(samples: readonly Sample[], view: BatchView, block: ReadingBlock): number {
    const ref = toReference(view.id());
    const { tenant, deviceId, path } = view;
    let count = 0;
    for (const { point, value, quality, reason, timeUs } of samples) {
      if (this.wanted?.has(point) === false) continue;
      const series = block.seriesNumber(tenant, deviceId, path, point);
      const kept = isWaveform(value)
        ? ({ kind: "json", value: JSON.stringify(value) } as const)
        : toValue(value);
      block.add(series, timeUs, kept ?? NO_VALUE, quality, ref, reason);
      count += 1;
    }
    return count;
  }

  private points(value: unknown, payload: Buffer): readonly Point[] {
    if (!isFields(value) || this.spec.depth === 0) return [["", single(value, payload)]];
    const points: Point[] = [];
    const isSmall = collect(value, "", this.spec.depth, points);
    return isSmall ? points : [["", { kind: "json", value: textOf(value, payload) }]];
  }
}

/** What the payload holds; undefined when it is only bytes, or text that is no JSON. */
function decode(contentType: string, payload: Buffer): unknown {
  const codec = codecForContentType(contentType);
  if (codec === payloadCodecs.raw) return undefined;
  try {
    if (codec === payloadCodecs.msgpack) return codec.decode(payload);
    return isUtf8(payload) ? (JSON.parse(payload.toString("utf8")) as unknown) : undefined;
  } catch {
    // A payload that is not what it says is kept as it came.
    return undefined;
  }
}

/** What the codec `profile` makes; any other list is a value. */
function toSamples(value: unknown): readonly Sample[] | undefined {
  if (!Array.isArray(value) || value.length === 0 || value.length > MAX_POINTS) return undefined;
  return value.every(isSample) ? value : undefined;
}

function isSample(value: unknown): value is Sample {
  if (!isFields(value)) return false;
  const { point, quality, timeUs, value: measured, reason = "" } = value;
  return (
    typeof point === "string" &&
    point.length <= MAX_NAME &&
    isName(point) &&
    READING_QUALITIES.includes(quality as ReadingQuality) &&
    Number.isSafeInteger(timeUs) &&
    (measured === null ||
      ["number", "boolean", "string"].includes(typeof measured) ||
      isWaveform(measured)) &&
    // Else it could be taken for good by somebody who looks at values only.
    (measured !== null || quality === "bad") &&
    typeof reason === "string"
  );
}

/** In samples: whole, as its JSON. */
function isWaveform(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every(Number.isFinite);
}

function isFields(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);
}

/** The payload as one value. */
function single(value: unknown, payload: Buffer): ReadingValue {
  const simple = toValue(value);
  if (simple !== undefined) return simple;
  if (value === null || typeof value === "object") return { kind: "json", value: textOf(value, payload) };
  if (isUtf8(payload)) return { kind: "text", value: payload.toString("utf8") };
  return { kind: "bytes", value: new Uint8Array(payload) };
}

function toValue(value: unknown): ReadingValue | undefined {
  switch (typeof value) {
    case "number":
      return { kind: "number", value };
    case "bigint":
      return { kind: "number", value: Number(value) };
    case "boolean":
      return { kind: "boolean", value };
    case "string":
      return { kind: "text", value };
    default:
      return value instanceof Uint8Array ? { kind: "bytes", value: new Uint8Array(value) } : undefined;
  }
}

/** JSON as it came, so that nothing is lost of it; made anew where it came in another form. */
function textOf(value: unknown, payload: Buffer): string {
  if (isJson(payload)) return payload.toString("utf8");
  return payloadCodecs.json.encode(value).toString("utf8");
}

function isJson(payload: Buffer): boolean {
  try {
    JSON.parse(payload.toString("utf8"));
    return isUtf8(payload);
  } catch {
    return false;
  }
}

/** False when there is too much of it, or a part of it is too deep to be written. */
function collect(fields: Record<string, unknown>, prefix: string, depth: number, points: Point[]): boolean {
  for (const [key, value] of Object.entries(fields)) {
    const name = prefix + (isName(key) ? key : JSON.stringify(key));
    if (name.length > MAX_NAME || points.length >= MAX_POINTS) return false;
    if (value === null || value === undefined) continue;
    if (isFields(value) && depth > 1) {
      if (!collect(value, `${name}.`, depth - 1, points)) return false;
      continue;
    }
    const simple = toValue(value);
    if (simple !== undefined) points.push([name, simple]);
    else {
      const text = tryEncode(value);
      if (text === undefined) return false;
      points.push([name, { kind: "json", value: text }]);
    }
  }
  return true;
}

/** As every store can hold it. */
function isName(text: string): boolean {
  return text.isWellFormed() && !text.includes("\0");
}

function tryEncode(value: unknown): string | undefined {
  try {
    return payloadCodecs.json.encode(value).toString("utf8");
  } catch {
    return undefined;
  }
}

function at(value: unknown, field: string): unknown {
  let inner = value;
  for (const key of field.split(".")) {
    if (!isFields(inner) || !Object.hasOwn(inner, key)) return undefined;
    inner = inner[key];
  }
  return inner;
}

function timeOf(value: unknown, unit: "s" | "ms" | "us" | "iso"): number | undefined {
  let us: number;
  if (unit === "iso") us = typeof value === "string" ? Date.parse(value) * 1_000 : Number.NaN;
  else
    us =
      typeof value === "number" || typeof value === "bigint"
        ? Math.round(Number(value) * US_PER[unit])
        : Number.NaN;
  return us >= 0 && us <= MAX_TIME_US ? us : undefined;
}

function qualityOf(quality: Quality): ReadingQuality {
  if (quality === Quality.BAD) return "bad";
  return quality === Quality.UNCERTAIN ? "uncertain" : "good";
}
