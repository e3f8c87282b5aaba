/** What was read of one device: columns, so that no tag costs an object. */
import { QUALITY, type RawColumns, REASON, type SampleReason } from "@myelin/profile";

export { QUALITY, qualityOf as qualityName, REASON, reasonOf as reasonName } from "@myelin/profile";

/**
 * The latest reading of each point of a device, by the number of the point in the device. Drivers write raw values, before the profile's scaling; whoever
 * judges them reads the columns. It is made once per device and version of its resources, and never grows.
 */
export class ReadingBuffer implements RawColumns {
  /** Raw numbers; of booleans 0 and 1. NaN where there is none. */
  readonly values: Float64Array;
  readonly quality: Uint8Array;
  readonly reason: Uint8Array;
  /** Microseconds since 1970: when the unit said it, or was asked in vain. */
  readonly sourceTimeUs: Float64Array;
  /** Values of points that are text, and whole numbers that a double cannot hold. */
  readonly others: (string | bigint | undefined)[];

  /** @param size points of the device */
  constructor(readonly size: number) {
    this.values = new Float64Array(size).fill(Number.NaN);
    this.quality = new Uint8Array(size).fill(QUALITY.bad);
    this.reason = new Uint8Array(size).fill(REASON.not_read);
    this.sourceTimeUs = new Float64Array(size);
    this.others = [];
  }

  /** One number. Drivers with many of them write the columns themselves. */
  setNumber(point: number, value: number, timeUs: number): void {
    this.values[point] = value;
    this.quality[point] = QUALITY.good;
    this.reason[point] = 0;
    this.sourceTimeUs[point] = timeUs;
    if (this.others.length > 0) this.others[point] = undefined;
  }

  /** Text, or a whole number beyond those that a double holds exactly. */
  setOther(point: number, value: string | bigint, timeUs: number): void {
    this.setNumber(point, Number.NaN, timeUs);
    this.others[point] = value;
  }

  /** These have no value now, and why. What was there before is gone: an absent value is never the old one. */
  setBad(points: Uint32Array, reason: SampleReason, timeUs: number): void {
    const place = REASON[reason];
    for (let i = 0; i < points.length; i++) {
      const point = points[i] as number;
      this.values[point] = Number.NaN;
      this.quality[point] = QUALITY.bad;
      this.reason[point] = place;
      this.sourceTimeUs[point] = timeUs;
      if (this.others.length > 0) this.others[point] = undefined;
    }
  }
}
