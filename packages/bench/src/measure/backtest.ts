/** How long it takes to run a rule over a long history, by the command that an operator has. */

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ReadingBlock, SqliteStore } from "@myelin/data-store";
import { AppError, systemClock } from "@myelin/kernel";
import { waitFor } from "@myelin/testkit";
import type { Operable } from "../systems/system.js";
import { registerDevices } from "./devices.js";
import { type Figures, significant } from "./stats.js";

export interface BacktestRun {
  readonly operable: Operable;
  readonly httpPort: number;
  readonly devices: number;
  readonly readings: number;
}

const WITHIN_MS = 280_000;
const STEP_US = 1_000_000;
const FIRST_US = 1_700_000_000_000_000;
const BLOCK = 50_000;

const RESOURCES = `apiVersion: myelin.dev/v1alpha1
kind: Sink
metadata: { name: history }
spec: { store: { sqlite: {} } }
---
apiVersion: myelin.dev/v1alpha1
kind: DeviceProfile
metadata: { name: boiler }
spec:
  payloads: [{ topics: ["boiler"], format: json }]
  points: { t: { from: { field: t } } }
`;

const RULE = `apiVersion: myelin.dev/v1alpha1
kind: Rule
metadata: { name: hot }
spec:
  profiles: [boiler]
  trigger: { points: [t] }
  values: { mean: { average: { point: t, over: 5m } } }
  when: mean > 21.0 && t > 21.5
  for: 30s
  clear: { when: "mean < 20.5", for: 1m }
`;

/** Figures: `backtest_seconds` from the command to its end, `readings_per_second`, `firings` it tells, and `progress_lines` it has written meanwhile. */
export async function measureBacktest(run: BacktestRun): Promise<Figures> {
  const { operable, httpPort, devices, readings } = run;
  await operable.putResources(RESOURCES);
  await registerDevices(
    httpPort,
    Array.from({ length: devices }, (_, i) => ({ id: `boiler-${i}`, profile: "boiler" })),
  );
  await fill(run);
  const file = join(operable.dataDir, "hot.yaml");
  await writeFile(file, RULE);
  await waitFor(
    () => operable.run(["history", "boiler-0", "--limit", "1"], WITHIN_MS).catch(() => undefined),
    {
      what: "the sink to answer",
      deadlineMs: 30_000,
    },
  );
  const began = performance.now();
  const { stdout, stderr } = await operable.run(["rules", "backtest", file, "--json"], WITHIN_MS);
  const seconds = (performance.now() - began) / 1_000;
  const totals = JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "") as Readonly<Record<string, number>>;
  if (totals.readings !== readings)
    throw new AppError(
      "internal.unexpected",
      `the back-test has seen ${totals.readings} readings, not ${readings}`,
    );
  return {
    backtest_seconds: significant(seconds),
    readings_per_second: significant(readings / seconds),
    firings: totals.firings ?? 0,
    progress_lines: stderr.split("\n").length - 1,
  };
}

/** Into the file that the box reads, by the code that it writes with. */
async function fill({ operable, devices, readings }: BacktestRun): Promise<void> {
  const path = join(operable.dataDir, "output", "history.db");
  const each = readings / devices;
  const store = new SqliteStore({
    path,
    maxBytes: 2 ** 40,
    batchReadings: BLOCK,
    batchWaitMs: 0,
    clock: systemClock,
  });
  let before: Promise<void> = Promise.resolve();
  for (let device = 0; device < devices; ) {
    const block = new ReadingBlock();
    for (let count = 0; count < BLOCK && device < devices; count += each, device++) {
      const series = block.seriesNumber("", `boiler-${device}`, "boiler", "t");
      // An hour each way, so that each device is hot now and then.
      for (let i = 0; i < each; i++)
        block.addNumber(series, FIRST_US + i * STEP_US, 20 + 2 * Math.sin((i + device) / 600), "good", i + 1);
    }
    const writing = store.write(block);
    await before;
    before = writing;
  }
  await before;
  await store.stop();
}
