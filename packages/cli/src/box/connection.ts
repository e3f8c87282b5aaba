/** How the other commands reach a running system: the box of a data directory, or a NATS named on the command line. */
import { readFile } from "node:fs/promises";
import { AppError } from "@myelin/kernel";
import { type BoxFile, runningBox } from "./box-file.js";
import { boxLayout } from "./layout.js";

export interface Reach {
  readonly natsUrl: string;
  readonly token: string | undefined;
  /** Undefined when the system was named by `--nats`. */
  readonly box: BoxFile | undefined;
}

export interface ReachOptions {
  readonly dataDir: string;
  readonly nats?: string;
}

/** @throws AppError `setup.not_running` when no box runs and no `--nats` is given */
export async function reach(options: ReachOptions): Promise<Reach> {
  if (options.nats !== undefined) {
    const url = new URL(options.nats.includes("://") ? options.nats : `nats://${options.nats}`);
    const token = url.username === "" ? undefined : decodeURIComponent(url.username);
    url.username = "";
    return { natsUrl: url.href, token, box: undefined };
  }
  const layout = boxLayout(options.dataDir);
  const box = await runningBox(layout);
  if (box === undefined) {
    throw new AppError(
      "setup.not_running",
      `No box runs on ${layout.root}. Start one with npm start, or name a system with --data-dir or --nats.`,
    );
  }
  return { natsUrl: box.natsUrl, token: (await readFile(box.natsTokenFile, "utf8")).trim(), box };
}
