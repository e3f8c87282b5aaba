/**
 * Microseconds of CPU per reading that a shadow takes: 10,000 devices with 10 points each, decoded by their profile, gathered and written as
 * records to a store that keeps nothing, without NATS and without a test runner in between:
 * `pnpm build && node services/dispatcher/src/shadow/shadow.bench.ts`. Prints one JSON line per case.
 */
import { checkValue, type DeviceProfileSpec, deviceProfileKind } from "@myelin/config";
import { shadow as wire } from "@myelin/contract";
import { systemClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { Profile } from "@myelin/profile";
import { ShadowShard } from "../../dist/shadow/shard.js";

const DEVICES = 10_000;
const POINTS = 10;
const ROUNDS = 30;
const names = Array.from({ length: POINTS }, (_, i) => `p${i}`);

const { value } = checkValue(deviceProfileKind.spec, {
  payloads: [{ format: "json" }],
  points: Object.fromEntries(names.map((name) => [name, { from: { field: name } }])),
});
const profile = new Profile("bench", value as DeviceProfileSpec);

async function measure(name: string, gatherMs: number): Promise<void> {
  let bytes = 0;
  const counters = { readings: 0, dropped: 0, loads: 0, writes: 0, evictions: 0 };
  const shard = new ShadowShard({
    partition: 0,
    epoch: 1,
    store: {
      async *read() {},
      ofDevice: async () => [],
      get: async () => undefined,
      put: async (_partition, _key, record, expected) => {
        bytes += wire.Record.encode(record).finish().length;
        return expected + 1;
      },
      remove: async () => undefined,
    },
    clock: systemClock,
    log: silentLogger,
    budget: { bytes: 256 * 1024 * 1024, used: 0 },
    counters,
    gatherMs,
    measured: (_key, { document }, gathered) => {
      document.measure(gathered);
      return () => undefined;
    },
    settle: () => undefined,
    stored: () => undefined,
  });
  shard.start();
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  for (let round = 0; round < ROUNDS; round++) {
    for (let d = 0; d < DEVICES; d++) {
      const fields = names.map((point, i) => `"${point}":${(round * 7 + d + i) / 8}`).join();
      const ingestTimeUs = systemClock.wallUs();
      const payload = Buffer.from(`{${fields}}`);
      const message = { path: "up", payload, ingestTimeUs, sourceTimeUs: 0, quality: "good" } as const;
      shard.measure("", `device-${d}`, profile.decode(message) ?? [], profile, false);
      if (d % 100 === 0) await new Promise(setImmediate);
    }
  }
  await shard.close(60_000);
  const { user, system } = process.cpuUsage(cpu);
  const seconds = (performance.now() - startedMs) / 1_000;
  const readings = DEVICES * POINTS * ROUNDS;
  const line = {
    case: name,
    cpuMicrosecondsPerReading: Number(((user + system) / readings).toFixed(3)),
    readingsPerSecond: Math.round(readings / seconds),
    writes: counters.writes,
    writtenBytes: bytes,
    dropped: counters.dropped,
  };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

await measure("gathered for 5 s", 5_000);
await measure("gathered for 200 ms", 200);
