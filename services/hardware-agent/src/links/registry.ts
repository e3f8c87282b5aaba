/** Every sort of line: one line each. Key = folder = key of `link` in a Bus. */
import type { BusSpec } from "@myelin/config";
import type { Clock } from "@myelin/kernel";
import type { Link } from "./link.js";

/** What a folder exports: makes the line of a Bus, without any I/O. */
export interface LinkModule {
  openLink(name: string, bus: BusSpec, clock: Clock): Link;
}

/** Loaded on first use, so that native code of lines that nobody has is never in memory. */
export type LinkRegistry = Readonly<Record<string, () => Promise<LinkModule>>>;

/** The sorts of lines that can be opened. */
export const links = {
  serial: () => import("./serial/index.js"),
  simulated: () => import("./simulated/index.js"),
  tcp: () => import("./tcp/index.js"),
  udp: () => import("./udp/index.js"),
} satisfies LinkRegistry;
