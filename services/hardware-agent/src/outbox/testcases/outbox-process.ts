// An agent's outbox in a process of its own, for tests that kill it. The parent is the hub.
import type { AppError } from "@myelin/kernel";
import { systemClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { diskFolder } from "../folder.js";
import { Outbox } from "../outbox.js";

const [path = "", first = "0", count = "0"] = process.argv.slice(2);
const tell = (message: object): void => void process.send!(message);
const waiting = new Map<number, (ordinal: number, error: AppError | undefined) => void>();

const outbox = new Outbox({
  folder: diskFolder(path),
  clock: systemClock,
  logger: silentLogger,
  uplink: {
    isOpen: true,
    send({ segment, ordinal, payload, replayed }, settled) {
      waiting.set(ordinal, settled);
      const number = Buffer.from(payload).readUInt32LE();
      tell({ sent: { name: `${segment}/${ordinal}`, ordinal, number, replayed } });
    },
  },
  limits: {
    maxBytes: 64 << 20,
    segmentBytes: 256 << 10,
    pendingBytes: 8 << 20,
    syncAfterMs: 100,
    liveBytes: 256 << 10,
    memoryBytes: 1 << 20,
    windowBytes: 256 << 10,
    replaySamplesPerSecond: 1_000_000,
    stalledAfterMs: 30_000,
  },
});
process.on("message", ({ stored }: { stored: number }) => {
  const settled = waiting.get(stored);
  waiting.delete(stored);
  settled?.(stored, undefined);
});

await outbox.start(AbortSignal.timeout(10_000));
const payload = Buffer.alloc(200);
let next = Number(first);
while (next < Number(first) + Number(count)) {
  const end = next + 50;
  for (; next < end; next++) {
    payload.writeUInt32LE(next);
    outbox.append(payload, 1);
  }
  await outbox.log.written();
  tell({ written: next });
  await new Promise(setImmediate);
}
setInterval(() => tell({ owed: outbox.owed, lost: outbox.counters.lost }), 50);
