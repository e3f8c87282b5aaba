import { execFileSync } from "node:child_process";
import { mkdir, rm, statfs } from "node:fs/promises";
import { IpcClient } from "@myelin/sdk-node";
import { type TempDir, tempDir, waitFor } from "@myelin/testkit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { myelin, startBox } from "./support/box.js";

const isRoot = process.getuid?.() === 0;
/** Room for a box and some MB of events. */
const DISK_BYTES = 48 * 1024 ** 2;
const EVENT_BYTES = 100_000;

let dir: TempDir;
let disk: string;
beforeEach(async () => {
  dir = await tempDir("full");
  disk = dir.join("disk");
  await mkdir(disk);
  if (isRoot) execFileSync("mount", ["-t", "tmpfs", "-o", `size=${DISK_BYTES}`, "none", disk]);
});
afterEach(async () => {
  if (isRoot) execFileSync("umount", [disk]);
  await dir[Symbol.asyncDispose]();
});

/** Takes all room but 1 MiB. */
async function fill(): Promise<void> {
  const { bavail, bsize } = await statfs(disk);
  execFileSync("fallocate", ["-l", String(bavail * bsize - 1024 ** 2), `${disk}/ballast`]);
}

/** Mounting needs root. */
it.runIf(isRoot)(
  "outlives a full disk: it says so, crashes nothing, goes on by itself and has lost nothing",
  async () => {
    await using box = await startBox(["--data-dir", `${disk}/data`]);
    const started = JSON.parse(box.process.stdout[0] as string);
    const { grpc, http } = started.ports as Record<string, number>;
    const app = () =>
      new IpcClient({ app: "keeper", target: `127.0.0.1:${grpc}`, subscriptions: ["full/#"] });

    /** Whether an event was acknowledged. */
    const send = async (number: number, patienceMs: number): Promise<boolean> => {
      const body = Buffer.alloc(EVENT_BYTES, `${number} `);
      const url = `http://127.0.0.1:${http}/api/v1/devices/d1/messages/full/x?lane=event`;
      const signal = AbortSignal.timeout(patienceMs);
      return fetch(url, { method: "POST", body, signal }).then(
        (answer) => answer.ok,
        () => false,
      );
    };

    // Known to the box and away: what is sent to it is kept on the disk.
    const away = app().onMessage(() => undefined);
    await away.start(AbortSignal.timeout(10_000));
    await away.stop();

    const acknowledged: number[] = [];
    for (let i = 0; i < 10; i++) if (await send(i, 5_000)) acknowledged.push(i);
    expect(acknowledged).toHaveLength(10);
    await fill();
    for (let i = 10; i < 40 && (await send(i, 1_000)); i++) acknowledged.push(i);
    expect(acknowledged.length).toBeLessThan(40);
    await waitFor(() => box.process.log().includes("is full"), { what: "the report", deadlineMs: 20_000 });
    expect(box.process.log()).toContain(
      `The disk of ${disk}/data/jetstream is full: no event is taken until there is room again.`,
    );
    expect(box.process.log()).not.toContain("ended");

    await rm(`${disk}/ballast`);
    await waitFor(() => box.process.log().includes("nats-server is back"), {
      what: "NATS",
      deadlineMs: 30_000,
    });
    expect(box.process.log()).toContain(
      "nats-server ended (it stores nothing, though there is room, for 6 s)",
    );
    await waitFor(() => send(100, 5_000), { what: "an event to be taken again", deadlineMs: 20_000 });
    acknowledged.push(100);

    const got = new Set<number>();
    const back = app().onMessage((message) => void got.add(Number.parseInt(message.payload.toString(), 10)));
    await back.start(AbortSignal.timeout(10_000));
    await waitFor(() => acknowledged.every((number) => got.has(number)), {
      what: "every acknowledged event",
      deadlineMs: 20_000,
    });
    await back.stop();
    const books = await waitFor(
      async () => {
        const { code, stdout } = await myelin(["ledger", "--json", "--data-dir", `${disk}/data`]);
        return code === 0 && JSON.parse(stdout);
      },
      { what: "books without a gap", deadlineMs: 15_000 },
    );
    expect(books).toMatchObject({ unaccounted: 0 });
    const names = box.process.log().match(/[\w-]+(?= ended)/g);
    expect(new Set(names)).toEqual(new Set(["nats-server"]));
  },
);
