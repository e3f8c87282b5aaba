// Writes to a store of the built package until it is killed, and tells what was acknowledged.
import { ReadingBlock, SqliteStore } from "@myelin/data-store";
import { systemClock } from "@myelin/kernel";

const [path = ""] = process.argv.slice(2);
const store = new SqliteStore({
  path,
  maxBytes: 2 ** 30,
  batchReadings: 10_000,
  batchWaitMs: 0,
  clock: systemClock,
});
for (let stored = 0; stored < 1_000_000; stored += 10) {
  const block = new ReadingBlock();
  const series = block.seriesNumber("", "d", "p", "t");
  for (let i = stored; i < stored + 10; i++) block.addNumber(series, i, i, "good", i + 1);
  await store.write(block);
  process.stdout.write(`stored ${stored + 10}\n`);
}
