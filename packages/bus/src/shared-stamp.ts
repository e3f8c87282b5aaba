/** The stamp that the senders of one bus share: their ids then say in which order messages were made, also of different lanes. */
import { randomBytes } from "node:crypto";
import { Stamp } from "@myelin/contract";
import type { Bus } from "./api.js";

const stamps = new WeakMap<Bus, Stamp>();

/** The same for every call with one bus. */
export function sharedStamp(bus: Bus): Stamp {
  let stamp = stamps.get(bus);
  if (stamp === undefined) {
    stamp = new Stamp(randomBytes(10));
    stamps.set(bus, stamp);
  }
  return stamp;
}
