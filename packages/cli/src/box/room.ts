/** Whether there is room on the disk of a box. */
import { statfs } from "node:fs/promises";

/** With less than that NATS cannot even write down that it is there. */
const MIN_FREE_BYTES = 8 * 1024 ** 2;

/** False when less than 8 MiB are free where the folder lies. */
export async function hasRoom(folder: string): Promise<boolean> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize >= MIN_FREE_BYTES;
}
