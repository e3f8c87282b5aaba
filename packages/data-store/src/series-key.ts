/** What stands for the names of a series in an index, which has a limit that names have not. */
import { createHash } from "node:crypto";
import type { SeriesName } from "./series-ids.js";

/** Of all series of a device: 64 hexadecimal digits. */
export function deviceKey({ tenant, device }: Pick<SeriesName, "tenant" | "device">): string {
  return keyOf([tenant, device]);
}

/** Of one series. */
export function nameKey({ tenant, device, path, point }: SeriesName): string {
  return keyOf([tenant, device, path, point]);
}

/** With their lengths in bytes, so that no two lists of names are one text. */
function keyOf(names: readonly string[]): string {
  const hash = createHash("sha256");
  for (const name of names) hash.update(`${Buffer.byteLength(name)}:${name}`);
  return hash.digest("hex");
}
