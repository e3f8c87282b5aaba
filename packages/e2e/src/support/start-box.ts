/** Boxes of tests. */
import { onTestFailed } from "vitest";
import { type Box, type BoxOptions, launchBox } from "./box.js";

/** Starts a box and resolves when it is ready. Its logs are shown when the test that started it fails. */
export async function startBox(options: BoxOptions = {}): Promise<Box> {
  const box = await launchBox(options);
  onTestFailed(async () => {
    process.stderr.write(`${await box.logs()}\n`);
  });
  return box;
}
