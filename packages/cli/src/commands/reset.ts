/** `myelin reset`: forgets what a box has stored. */
import { rm } from "node:fs/promises";
import { createInterface } from "node:readline/promises";
import { AppError } from "@myelin/kernel";
import { runningBox } from "../box/box-file.js";
import { boxLayout } from "../box/layout.js";
import { endOrphans } from "../box/orphans.js";
import { EXIT, note, printJson } from "../output.js";

export interface ResetOptions {
  readonly dataDir: string;
  readonly yes: boolean;
  readonly json: boolean;
}

/**
 * Removes stored messages, books, secrets and logs; resources (what the operator wrote) and output files stay.
 * @throws AppError `setup.already_running` while the box runs
 */
export async function reset(options: ResetOptions): Promise<number> {
  const layout = boxLayout(options.dataDir);
  const box = await runningBox(layout);
  if (box !== undefined) {
    throw new AppError("setup.already_running", `The box runs (process ${box.pid}). End it before a reset.`);
  }
  if (!options.yes && !(await confirmed(layout.root))) return EXIT.failed;
  await endOrphans(layout, note);
  const removed = [layout.jetstream, layout.run, layout.secrets, layout.logs, layout.cache];
  for (const folder of removed) await rm(folder, { recursive: true, force: true });
  if (options.json) printJson({ removed, kept: [layout.resources, layout.output] });
  else
    note(
      `Stored messages, books and secrets in ${layout.root} are gone; resources and output files are kept.`,
    );
  return EXIT.ok;
}

async function confirmed(root: string): Promise<boolean> {
  if (!process.stdin.isTTY) {
    throw new AppError("config.invalid", "Without a terminal to ask on, reset needs --yes.");
  }
  const ask = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await ask.question(`Remove all stored messages of the box in ${root}? [y/N] `);
  ask.close();
  return /^y(es)?$/i.test(answer.trim());
}
