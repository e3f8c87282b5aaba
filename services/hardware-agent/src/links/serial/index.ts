/** A serial line: RS-485, RS-232. */
import type { BusSpec } from "@myelin/config";
import { AppError, type Clock } from "@myelin/kernel";
import { rtuGapMs } from "../line-queue.js";
import { mannersOf } from "../manners.js";
import { bitsPerByte, SerialLink, type SerialLinkSettings } from "./serial-link.js";

/** See `LinkModule`. */
export function openLink(name: string, bus: BusSpec, clock: Clock): SerialLink {
  const { serial } = bus.link;
  if (serial === undefined) throw new AppError("internal.invalid_argument", `${name} is no serial line`);
  const port = serial as typeof serial & Pick<SerialLinkSettings, "dataBits" | "stopBits">;
  const gapMs = bus.gap ?? rtuGapMs(serial.baud, bitsPerByte(port));
  return new SerialLink(name, { ...port, gapMs, manners: mannersOf(bus) }, clock);
}
