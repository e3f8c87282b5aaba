/**
 * What a million filters cost, without a test runner in between:
 * `pnpm build && node --expose-gc packages/contract/src/filter-index/filter-index.bench.ts`. Prints one JSON line per case.
 */
import { FilterIndex, PathWatches } from "@myelin/contract";

const COUNT = 1_000_000;
const LISTENERS = 16;

const MIXES: Record<string, (i: number) => string> = {
  "one filter each": (i) => `devices/device-${i}/commands/#`,
  "a mix": (i) => {
    switch (i % 4) {
      case 0:
        return `devices/device-${i}/commands/#`;
      case 1:
        return `devices/device-${i}/+/set`;
      case 2:
        return `plant/line-${i % 97}/device-${i}/temperature`;
      default:
        return `sites/${i % 1000}/+/device-${i}/#`;
    }
  },
};

const settle = (): void => {
  for (let i = 0; i < 3; i++) globalThis.gc?.();
};

for (const [name, filterOf] of Object.entries(MIXES)) {
  settle();
  const before = process.memoryUsage();
  const index = new FilterIndex({ seed: 0x5eed });
  let cached = 0;
  const watches = new PathWatches(index, { onStale: () => cached++, onAllStale: () => {} });
  const pathOf = (i: number): string => filterOf(i).replace("+", "x").replace("#", "restart");
  // By processor time: what else runs on the machine does not count.
  const timed = (count: number, run: (i: number) => void): number => {
    const from = process.cpuUsage();
    for (let i = 0; i < count; i++) run(i);
    const { user, system } = process.cpuUsage(from);
    return Math.round((count / (user + system)) * 1e6);
  };
  const subscribesPerSecond = timed(COUNT, (i) => index.add("", filterOf(i), i % LISTENERS));
  settle();
  const after = process.memoryUsage();
  const bytesPerFilter = (after.rss - before.rss) / COUNT;
  let found = 0;
  const matchesPerSecond = timed(COUNT, (i) => index.match("", pathOf((i * 7919) % COUNT), () => found++));
  const watched = 100_000;
  for (let i = 0; i < watched; i++) watches.watch(i, "", `devices/device-${i}/telemetry`);
  const churnPerSecond = timed(COUNT / 4, (i) => {
    index.remove("", filterOf(i), i % LISTENERS);
    index.add("", `${filterOf(i).slice(0, 20)}x${i}`, i % LISTENERS);
  });
  process.stdout.write(
    `${JSON.stringify({
      case: name,
      filters: index.filters,
      bytesPerFilter: Math.round(bytesPerFilter),
      subscribesPerSecond,
      matchesPerSecond,
      churnPerSecond,
      found,
      voided: cached,
    })}\n`,
  );
}
