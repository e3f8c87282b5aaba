/** Writes devices as text that can be read back: lines of NDJSON, or CSV. */
import { type DeviceRecord, deviceJson } from "@myelin/bus";
import { stringify } from "csv-stringify/sync";
import type { DeviceFormat } from "./read.js";

const COLUMNS = [
  "id",
  "profile",
  "description",
  "enabled",
  "groups",
  "tags",
  "createdAt",
  "updatedAt",
  "version",
] as const;

/** A chunk of text per page; CSV begins with its heading. */
export async function* deviceText(
  pages: AsyncIterable<readonly DeviceRecord[]>,
  format: DeviceFormat,
): AsyncGenerator<string, void> {
  if (format === "csv") yield csv([[...COLUMNS]]);
  for await (const devices of pages) {
    if (devices.length === 0) continue;
    if (format === "csv") yield csv(devices.map(rowOf));
    else yield devices.map((device) => `${JSON.stringify(deviceJson(device))}\n`).join("");
  }
}

/** RFC 4180. */
function csv(rows: readonly (readonly string[])[]): string {
  return stringify(
    rows.map((row) => [...row]),
    { record_delimiter: "windows" },
  );
}

function rowOf(device: DeviceRecord): string[] {
  const json = deviceJson(device) as Readonly<Record<string, unknown>>;
  return COLUMNS.map((column) => {
    if (column === "groups") return groupsText(device.groups);
    if (column === "tags") return Object.keys(device.tags).length === 0 ? "" : JSON.stringify(device.tags);
    return String(json[column]);
  });
}

/** As people write them, where that can be read back. */
function groupsText(groups: readonly string[]): string {
  const isPlain = groups.every((group) => !group.includes(" ") && !group.startsWith("["));
  return isPlain ? groups.join(" ") : JSON.stringify(groups);
}
