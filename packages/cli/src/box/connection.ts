/** How the other commands reach a running system: the box of a data directory, or a NATS named on the command line. */
import { readFile } from "node:fs/promises";
import { AppError } from "@myelin/kernel";
import { note } from "../output.js";
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
  /** Of this program; a box of another one is worth a warning. */
  readonly version: string;
}

/** @throws AppError `setup.not_running` when no box runs and no `--nats` is given, `config.invalid` when that is no URL */
export async function reach(options: ReachOptions): Promise<Reach> {
  if (options.nats !== undefined) {
    const { url, token } = parseNats(options.nats);
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
  if (box.version !== options.version) {
    note(
      `The box is of version ${box.version} and this program of ${options.version}; restart the box with npm start.`,
    );
  }
  return { natsUrl: box.natsUrl, token: (await readFile(box.natsTokenFile, "utf8")).trim(), box };
}

/** The text may hold a token: it is not repeated in the error. */
function parseNats(text: string): { url: URL; token: string | undefined } {
  const url = URL.parse(text.includes("://") ? text : `nats://${text}`);
  if (url === null || url.hostname === "" || !["nats:", "tls:"].includes(url.protocol)) {
    throw new AppError(
      "config.invalid",
      "--nats needs an address such as nats://TOKEN@host:4222 or host:4222.",
    );
  }
  const token = url.username === "" ? undefined : decodeURIComponent(url.username);
  url.username = "";
  return { url, token };
}
