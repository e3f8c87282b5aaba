/** `npm run demo`: a year of recorded weather through all five protocols to a sample application. */
import { type ChildProcess, fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { AppError } from "@myelin/kernel";
import { waitFor } from "@myelin/testkit";
import { type BoxState, type Ledger, launchBox, myelin } from "../support/box.js";
import { Progress } from "./progress.js";
import { loadReadings, type Reading } from "./readings.js";
import { connectStations, replay } from "./stations.js";
import { type ProtocolSummary, summaryLines } from "./summary.js";

const HELP = `npm run demo -- [--speed <readings a second>] [--data-dir <folder>] [--json]

Replays a year of Seattle's normal weather, hour by hour, through MQTT, HTTP, WebSocket, TCP and UDP to a sample application.
Uses the box that runs on the data folder (.myelin), else starts one of its own in a temporary folder.

  --speed <n>   readings a second over all five devices; 0: as fast as they are acknowledged (default: 1000)
  --json        print one JSON object at the end, and nothing else
`;

interface Options {
  readonly speed: number;
  readonly json: boolean;
  readonly dataDir: string;
}

/** A running box: one that was there, or one of our own that ends with the demo. */
interface DemoBox extends AsyncDisposable {
  readonly dataDir: string;
  readonly state: BoxState;
  readonly isOwn: boolean;
}

/** What the sample application tells. */
interface Report {
  readonly kind: "starting" | "progress" | "summary";
  readonly count: number;
  readonly rows: readonly ProtocolSummary[];
}

const ARRIVAL_DEADLINE_MS = 30_000;
const EXIT_INTERRUPTED = 130;

/** @throws AppError `config.invalid` */
function parseOptions(args: readonly string[]): Options | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      speed: { type: "string", default: "1000" },
      json: { type: "boolean", default: false },
      "data-dir": { type: "string", default: ".myelin" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return undefined;
  const speed = Number(values.speed);
  if (!(speed >= 0 && speed <= 1_000_000)) {
    throw new AppError("config.invalid", `--speed takes a number from 0 to 1000000, not ${values.speed}`);
  }
  return { speed, json: values.json, dataDir: resolve(values["data-dir"]) };
}

async function openBox(dataDir: string): Promise<DemoBox> {
  const state = await runningBox(dataDir);
  if (state !== undefined) {
    return { dataDir, state, isOwn: false, [Symbol.asyncDispose]: async () => undefined };
  }
  const box = await launchBox();
  return {
    dataDir: box.dataDir,
    state: box.state,
    isOwn: true,
    [Symbol.asyncDispose]: () => box[Symbol.asyncDispose](),
  };
}

async function runningBox(dataDir: string): Promise<BoxState | undefined> {
  try {
    const state = JSON.parse(await readFile(join(dataDir, "run", "box.json"), "utf8")) as BoxState;
    process.kill(state.pid, 0);
    return state;
  } catch {
    // No file, a torn one, or one of a box that has ended: none runs there.
    return undefined;
  }
}

/** The application, started; `latest` is what it told last. */
class SampleApp implements AsyncDisposable {
  latest: Report = { kind: "starting", count: 0, rows: [] };
  readonly #child: ChildProcess;

  constructor(target: string, path: string) {
    const program = fileURLToPath(new URL("./app.js", import.meta.url));
    this.#child = fork(program, [target, path], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
    this.#child.on("message", (message) => {
      this.latest = message as Report;
    });
  }

  async until(met: (report: Report) => boolean, what: string, signal: AbortSignal): Promise<Report> {
    await waitFor(() => met(this.latest) || this.#child.exitCode !== null, {
      what,
      deadlineMs: ARRIVAL_DEADLINE_MS,
      signal,
    });
    if (!met(this.latest)) {
      throw new AppError("setup.process_failed", `the sample application ended before ${what}`);
    }
    return this.latest;
  }

  finish(): void {
    this.#child.send({ kind: "finish" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((done) => this.#child.once("exit", done));
    this.#child.kill("SIGKILL");
    await ended;
  }
}

/** The books once they close, or as they are after a while: on a box that others use they may never stand still. */
async function closedBooks(dataDir: string): Promise<Ledger> {
  let books: Ledger | undefined;
  const read = async (): Promise<boolean> => {
    books = JSON.parse((await myelin(["ledger", "--json", "--data-dir", dataDir])).stdout) as Ledger;
    return books.unaccounted === 0 && books.rows.every(({ queued }) => queued === 0);
  };
  await waitFor(read, { what: "books that close", deadlineMs: 10_000, everyMs: 200 }).catch(() => undefined);
  if (books === undefined) throw new AppError("operation.timeout", "myelin ledger does not answer");
  return books;
}

/** Every fifth reading for each station, so that all of them live through the whole year. */
function share(readings: readonly Reading[], index: number, stations: number): Reading[] {
  return readings.filter((_, at) => at % stations === index);
}

async function demo(options: Options, signal: AbortSignal): Promise<number> {
  const say = (line: string): void => void (options.json || process.stdout.write(`${line}\n`));
  const readings = await loadReadings();
  await using box = await openBox(options.dataDir);
  signal.throwIfAborted();
  say(
    `${readings.length.toLocaleString("en")} hours of Seattle's normal weather, by five stations, ` +
      `over a box ${box.isOwn ? "of the demo's own" : `that runs on ${box.dataDir}`}`,
  );
  // A path of its own for each run: what an interrupted run left behind is not counted.
  const path = `demo/weather/${randomBytes(4).toString("hex")}`;
  await using app = new SampleApp(`127.0.0.1:${box.state.ports.grpc}`, path);
  await app.until(({ kind }) => kind !== "starting", "the sample application is connected", signal);
  const stations = await connectStations(box.state, path);

  const begun = performance.now();
  const seconds = (): number => (performance.now() - begun) / 1000;
  const progress = new Progress(process.stdout, readings.length);
  const drawing = options.json
    ? undefined
    : setInterval(() => progress.show(app.latest.count, seconds()), 100);
  try {
    await Promise.all(
      stations.map((station, index) =>
        replay(station, share(readings, index, stations.length), options.speed / stations.length, signal),
      ),
    );
    await app.until(({ count }) => count === readings.length, "all readings are there", signal);
  } finally {
    clearInterval(drawing);
    if (!options.json) {
      progress.show(app.latest.count, seconds());
      progress.end();
    }
    await Promise.all(stations.map((station) => station.close()));
  }
  const tookMs = performance.now() - begun;
  app.finish();
  const { count, rows } = await app.until(({ kind }) => kind === "summary", "the summary is told", signal);
  const books = await closedBooks(box.dataDir);

  if (options.json) {
    const { unaccounted } = books;
    const result = { readings: readings.length, arrived: count, tookMs, protocols: rows, unaccounted };
    process.stdout.write(`${JSON.stringify(result)}\n`);
  } else {
    for (const line of summaryLines(rows)) say(line);
    say((await myelin(["ledger", "--data-dir", box.dataDir])).stdout.trimEnd());
    say(`all ${count.toLocaleString("en")} readings arrived`);
  }
  return books.unaccounted === 0 ? 0 : 1;
}

async function main(): Promise<number> {
  const interrupted = new AbortController();
  const onSignal = (): void =>
    interrupted.abort(new AppError("operation.aborted", "the demo was interrupted"));
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  try {
    const options = parseOptions(process.argv.slice(2));
    if (options === undefined) {
      process.stdout.write(HELP);
      return 0;
    }
    return await demo(options, interrupted.signal);
  } catch (error) {
    if (interrupted.signal.aborted) return EXIT_INTERRUPTED;
    process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}

process.exit(await main());
