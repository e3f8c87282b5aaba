/** Turns the payloads of a device into samples, as its profile says. */
import type { DeviceProfileSpec, PointSpec } from "@myelin/config";
import { payloadCodecs, topicMatches } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import { decodeSampleBlock } from "./columns/block-decoder.js";
import { bad, judge, type Verdict } from "./judge.js";
import { bytesReader, fieldReader, type Reader } from "./read.js";
import type { Sample, SampleQuality, SampleReason } from "./sample.js";

/** What the decoder must know of a message. */
export interface ProfiledMessage {
  /** Topic, URL path below the device, or MCP message type. */
  readonly path: string;
  readonly payload: Uint8Array;
  readonly ingestTimeUs: number;
  /** 0: the sender gave none. */
  readonly sourceTimeUs: number;
  /** What the sender says of the whole message. */
  readonly quality: SampleQuality;
  /** It is a `sample.Block` of a hardware-agent, which has judged the values already. */
  readonly isBlock?: boolean | undefined;
}

// Clocks of devices run ahead of ours by seconds, not by minutes; one that was never set begins in 1970 or 2000.
const MAX_AHEAD_US = 60_000_000;
const EARLIEST_US = Date.UTC(2001, 0, 1) * 1000;

const US: Readonly<Record<string, number>> = { s: 1e6, ms: 1e3, us: 1 };

interface PointReader {
  readonly name: string;
  readonly point: PointSpec;
  readonly read: Reader;
}

type PayloadSpec = DeviceProfileSpec["payloads"][number];

interface PayloadReader {
  readonly spec: PayloadSpec;
  readonly points: readonly PointReader[];
  readonly readTime: Reader | undefined;
}

interface SourceTime {
  readonly timeUs: number;
  readonly reason?: "time_unreadable" | "time_implausible";
}

/** Made once per version of a profile; safe for any bytes. */
export class Decoder {
  private readonly payloads: readonly PayloadReader[];

  constructor(private readonly spec: DeviceProfileSpec) {
    this.payloads = spec.payloads.map((payload) => payloadReader(spec, payload));
  }

  /**
   * The samples of one message, at most one per point; undefined when no payload of the profile has this path. Never throws: what
   * cannot be read becomes bad samples of all points that the payload has. Keeps nothing of the message.
   */
  decode(message: ProfiledMessage): readonly Sample[] | undefined {
    if (message.isBlock === true) return decodeSampleBlock(message.payload, this.spec.points);
    const reader = this.readerOf(message.path);
    if (reader === undefined) return undefined;
    const content = contentOf(reader.spec, message.payload);
    const time = timeOf(reader, content, message);
    const samples: Sample[] = [];
    for (const { name, point, read } of reader.points) {
      const verdict = content === UNREADABLE ? bad("unreadable", undefined) : judge(point, read(content));
      if (verdict !== undefined) samples.push(sampleOf(name, point, verdict, time, message.quality));
    }
    return samples;
  }

  /** Some payload of the profile has this path. */
  reads(path: string): boolean {
    return this.readerOf(path) !== undefined;
  }

  private readerOf(path: string): PayloadReader | undefined {
    return this.payloads.find(
      ({ spec }) => spec.topics?.some((filter) => topicMatches(filter, path)) ?? true,
    );
  }
}

const UNREADABLE = Symbol("unreadable");

function payloadReader(spec: DeviceProfileSpec, payload: PayloadSpec): PayloadReader {
  const points: PointReader[] = [];
  for (const [name, point] of Object.entries(spec.points)) {
    const { field, bytes } = point.from ?? {};
    if (payload.points !== undefined && !payload.points.includes(name)) continue;
    if (payload.format === "binary" && bytes !== undefined)
      points.push({ name, point, read: bytesReader(bytes, point) });
    else if (payload.format !== "binary" && field !== undefined)
      points.push({ name, point, read: fieldReader(field) });
  }
  const { time } = payload;
  return { spec: payload, points, readTime: time === undefined ? undefined : fieldReader(time.field) };
}

function contentOf({ format, size }: PayloadSpec, payload: Uint8Array): unknown {
  if (payload.length < (size?.min ?? 0) || payload.length > (size?.max ?? Number.POSITIVE_INFINITY))
    return UNREADABLE;
  if (format === "binary") return payload;
  try {
    return payloadCodecs[format].decode(payload);
  } catch (thrown) {
    if (AppError.is(thrown) && thrown.code === "contract.bad_payload") return UNREADABLE;
    throw thrown;
  }
}

function timeOf(
  { spec, readTime }: PayloadReader,
  content: unknown,
  { ingestTimeUs, sourceTimeUs }: ProfiledMessage,
): SourceTime {
  let said = sourceTimeUs;
  if (readTime !== undefined && content !== UNREADABLE) {
    const raw = readTime(content);
    if ((typeof raw !== "number" && typeof raw !== "bigint") || !Number.isFinite(Number(raw)))
      return { timeUs: ingestTimeUs, reason: "time_unreadable" };
    said = Math.round(Number(raw) * (US[spec.time?.unit ?? "ms"] as number));
  } else if (said === 0) return { timeUs: ingestTimeUs };
  const isPlausible = said >= EARLIEST_US && said <= ingestTimeUs + MAX_AHEAD_US;
  return isPlausible ? { timeUs: said } : { timeUs: ingestTimeUs, reason: "time_implausible" };
}

function sampleOf(
  name: string,
  point: PointSpec,
  verdict: Verdict,
  { timeUs, reason: timeReason }: SourceTime,
  said: SampleQuality,
): Sample {
  let { value, quality, reason } = verdict as { -readonly [K in keyof Verdict]: Verdict[K] };
  const lower = (to: SampleQuality, why: SampleReason): void => {
    quality = to;
    reason = why;
  };
  let { raw } = verdict;
  if (quality !== "bad" && said === "bad") {
    lower("bad", "source_bad");
    raw = value === null || typeof value === "object" ? undefined : value;
    value = null;
  } else if (quality === "good") {
    if (said === "uncertain") lower("uncertain", "source_uncertain");
    else if (timeReason !== undefined) lower("uncertain", timeReason);
  }
  return {
    point: name,
    value,
    ...(point.unit !== undefined && { unit: point.unit }),
    quality,
    ...(reason !== undefined && { reason }),
    ...(raw !== undefined && { raw }),
    timeUs,
  };
}
