/** What the hub has not acknowledged yet, kept beside the segments. Old content only means that something is sent twice. */
import { crc32 } from "node:zlib";
import type { Folder } from "./folder.js";
import type { OrdinalRange } from "./ordinal-ranges.js";

const NAME = "owed.json";

/** Everything from `next` on is owed too. */
export interface OwedState {
  readonly next: number;
  readonly owed: readonly OrdinalRange[];
}

/** Undefined where there is none, or it is damaged: then all that is in the segments is owed. Rejects with the system's error. */
export async function loadOwed(folder: Folder): Promise<OwedState | undefined> {
  const text = (await folder.readWhole(NAME))?.toString("utf8");
  if (text === undefined) return undefined;
  const body = text.slice(9);
  return text.slice(0, 9) === `${checkOf(body)}\n` ? (JSON.parse(body) as OwedState) : undefined;
}

/** Replaces it. Rejects with the system's error. */
export async function saveOwed(folder: Folder, state: OwedState): Promise<void> {
  const body = JSON.stringify(state);
  await folder.replace(NAME, Buffer.from(`${checkOf(body)}\n${body}`));
}

function checkOf(body: string): string {
  return crc32(body).toString(16).padStart(8, "0");
}
