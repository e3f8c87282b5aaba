import { fork } from "node:child_process";
import { once } from "node:events";
import { sourceArguments, tempDir, waitFor } from "@myelin/testkit";
import { expect, test } from "vitest";

const PROGRAM = new URL("./testcases/outbox-process.ts", import.meta.url);
const KILLS = 6;

interface Message {
  readonly written?: number;
  readonly sent?: { name: string; ordinal: number; number: number; replayed: boolean };
  readonly owed?: number;
  readonly lost?: Readonly<Record<string, number>>;
}

/** What the hub has: the number by the name of its record. */
class Hub {
  readonly stored = new Map<string, number>();
  written = 0;
  doubled = 0;
  owed: number | undefined;
  lost: Readonly<Record<string, number>> = {};

  start(path: string, count: number) {
    this.owed = undefined;
    const [program, ...args] = sourceArguments(PROGRAM).reverse();
    const child = fork(program!, [path, String(this.written), String(count)], { execArgv: args.reverse() });
    child.on("message", ({ written, sent, owed, lost }: Message) => {
      if (written !== undefined) this.written = written;
      if (owed !== undefined) this.owed = owed;
      if (lost !== undefined) this.lost = lost;
      if (sent === undefined) return;
      const known = this.stored.get(sent.name);
      if (known !== undefined) {
        this.doubled += 1;
        expect(known).toBe(sent.number);
      }
      this.stored.set(sent.name, sent.number);
      if (child.connected) child.send({ stored: sent.ordinal }, () => {});
    });
    return child;
  }
}

test("an outbox whose process is killed again and again while it works loses nothing that was written", async () => {
  await using dir = await tempDir("outbox");
  const hub = new Hub();
  for (let kill = 0; kill < KILLS; kill++) {
    const child = hub.start(dir.join("outbox"), 1_000_000);
    const until = hub.written + 500 + kill * 777;
    await waitFor(() => hub.written >= until, { what: "records to be written", deadlineMs: 60_000 });
    const closed = once(child, "close");
    child.kill("SIGKILL");
    await closed;
  }
  const child = hub.start(dir.join("outbox"), 100);
  await waitFor(() => hub.owed === 0, { what: "the backlog to be sent", deadlineMs: 60_000 });
  child.kill("SIGKILL");
  await once(child, "close");
  const numbers = new Set(hub.stored.values());
  const missing = Array.from({ length: hub.written }, (_, i) => i).filter((i) => !numbers.has(i));
  expect(missing).toEqual([]);
  expect(hub.written).toBeGreaterThan(KILLS * 500);
  expect(hub.lost).toEqual({ full: 0, damaged: 0, memory: 0, refused: 0 });
}, 180_000);
