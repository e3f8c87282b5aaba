/** A line of a Bus that is simulated. */
import type { BusSpec } from "@myelin/config";
import { AppError, type Clock } from "@myelin/kernel";
import { ModelLine } from "../model-line.js";

/** See `LinkModule`. */
export function openLink(name: string, { link, gap = 0 }: BusSpec, clock: Clock): ModelLine {
  if (link.simulated === undefined)
    throw new AppError("internal.invalid_argument", `${name} is not simulated`);
  return new ModelLine(name, link.simulated, gap, clock);
}
