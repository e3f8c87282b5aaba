import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tempDir, waitFor } from "@myelin/testkit";
import { expect, test } from "vitest";
import { type Box, boxArguments, myelin, startApp, startBox } from "../support/index.js";

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    // ESRCH: the process is gone.
    return false;
  }
}

const pidsOf = (box: Box): number[] => [
  box.state.pid,
  ...box.state.processes.flatMap(({ pid }) => (pid === undefined ? [] : [pid])),
];

/** What `myelin up` says before it gives up, in the words for people. */
async function refusedStart(args: readonly string[]): Promise<string> {
  const result = await myelin(args.slice(args.indexOf("up")).filter((arg) => arg !== "--json"));
  expect(result.code).not.toBe(0);
  expect(result.stdout).toBe("");
  return result.stderr.trim();
}

const ONE_SENTENCE = /^myelin: [^\n]+$/;

test("Ctrl-C drains, ends with code 0 and leaves no process; what waits for an app is there after the next start", async () => {
  await using box = await startBox();
  {
    await using app = await startApp(box, { app: "archive", filters: ["#"] });
    expect(await app.process.stop()).toEqual({ code: 0, signal: null });
  }
  const answer = await fetch(`${box.httpUrl}/devices/d1/messages/a`, { method: "POST", body: "1" });
  expect(answer.status).toBe(202);
  const pids = pidsOf(box);
  expect(pids).toHaveLength(4);

  expect(await box.process.kill("SIGINT")).toEqual({ code: 0, signal: null });
  expect(pids.filter(isAlive)).toEqual([]);

  await box.process.start();
  await box.readState();
  await using app = await startApp(box, { app: "archive", filters: ["#"] });
  expect(await app.receivedTexts(1)).toMatchObject([{ device: "d1", path: "a", text: "1" }]);
  expect((await box.settledLedger()).unaccounted).toBe(0);
});

test("children of a killed supervisor end by themselves, and the next start ends the nats-server it left", async () => {
  await using box = await startBox();
  const nats = box.pidOf("nats-server");
  const services = pidsOf(box).filter((pid) => pid !== nats);
  await box.process.kill("SIGKILL");
  await waitFor(() => services.every((pid) => !isAlive(pid)), {
    what: "the services to end",
    deadlineMs: 15_000,
  });

  await box.process.start();
  await box.readState();
  expect(box.process.log()).toContain("nats-server of an earlier start still runs");
  expect(isAlive(nats)).toBe(false);
  expect((await box.settledLedger()).unaccounted).toBe(0);
});

test("a port in use gets one sentence that names it", async () => {
  await using folder = await tempDir("box");
  const args = boxArguments(folder.path);
  const port = 1883 + Number(args[args.indexOf("--port-offset") + 1]);
  const server = createServer().listen(port, "127.0.0.1");
  await once(server, "listening");
  const said = await refusedStart(args);
  server.close();
  expect(said).toMatch(ONE_SENTENCE);
  expect(said).toContain(`${port} (MQTT)`);
});

test("a second box on the same data gets one sentence that names the first", async () => {
  await using box = await startBox();
  const said = await refusedStart(boxArguments(box.dataDir));
  expect(said).toMatch(ONE_SENTENCE);
  expect(said).toContain(`(process ${box.state.pid}`);
});

test("a folder that cannot be written gets one sentence that names it", async () => {
  await using folder = await tempDir("box");
  // Below a file nobody can make a folder, not even the superuser, whom permissions would not stop.
  const file = folder.join("file");
  await writeFile(file, "");
  const said = await refusedStart(boxArguments(`${file}/box`));
  expect(said).toMatch(ONE_SENTENCE);
  expect(said).toContain(`${file}/box`);
});

test("commands without a box say how to start one", async () => {
  await using folder = await tempDir("box");
  const result = await myelin(["ledger", "--data-dir", folder.path]);
  expect(result.code).not.toBe(0);
  expect(result.stderr.trim()).toMatch(ONE_SENTENCE);
});
