/** Datagrams to a unit or a gateway. */
import type { BusSpec } from "@myelin/config";
import { AppError, type Clock } from "@myelin/kernel";
import { mannersOf } from "../manners.js";
import { UdpLink } from "./udp-link.js";

/** See `LinkModule`. */
export function openLink(name: string, bus: BusSpec, clock: Clock): UdpLink {
  const { link, gap = 0 } = bus;
  if (link.udp === undefined) throw new AppError("internal.invalid_argument", `${name} takes no datagrams`);
  return new UdpLink(name, { ...link.udp, gapMs: gap, manners: mannersOf(bus) }, clock);
}
