/** A connection to a unit or a gateway. */
import type { BusSpec } from "@myelin/config";
import { AppError, type Clock } from "@myelin/kernel";
import { mannersOf } from "../manners.js";
import { TcpLink } from "./tcp-link.js";

/** See `LinkModule`. */
export function openLink(name: string, bus: BusSpec, clock: Clock): TcpLink {
  const { link, gap = 0 } = bus;
  if (link.tcp === undefined) throw new AppError("internal.invalid_argument", `${name} is no connection`);
  const { host, port, connectTimeout, outstanding } = link.tcp;
  return new TcpLink(
    name,
    { host, port, connectTimeoutMs: connectTimeout, outstanding, gapMs: gap, manners: mannersOf(bus) },
    clock,
  );
}
