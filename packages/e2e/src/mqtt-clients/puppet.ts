/** A stock client in a process of its own, driven line by line; see `puppets/README.md`. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { waitFor } from "@myelin/testkit";
import type { Launch } from "./clients.js";

const DEADLINE_MS = 30_000;

/** How the client connects; `will` is the topic of its will. */
export interface PuppetOptions {
  readonly port: number;
  readonly version: 4 | 5;
  readonly id: string;
  readonly will?: string;
}

/** One message as the client's library handed it to the program. */
export interface Heard {
  readonly topic: string;
  readonly qos: number;
  readonly payload: string;
}

/** Starts a client and resolves when it is connected. */
export async function startPuppet(launch: Launch, options: PuppetOptions): Promise<Puppet> {
  const puppet = new Puppet(launch, options);
  try {
    await puppet.said("connected");
    return puppet;
  } catch (error) {
    await puppet[Symbol.asyncDispose]();
    throw error;
  }
}

/** Get one from `startPuppet`. Disposal kills it. */
export class Puppet implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #ended: Promise<unknown>;
  readonly #lines: string[] = [];
  readonly #heard: Heard[] = [];
  #errors = "";

  constructor({ command, args }: Launch, { port, version, id, will = "-" }: PuppetOptions) {
    this.#child = spawn(command, [...args, String(port), String(version), id, will], {
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#ended = new Promise((resolve) => this.#child.once("close", resolve));
    // Whether it listens is seen by its answers.
    this.#child.stdin.on("error", () => undefined);
    this.#child.stderr.on("data", (bytes) => {
      this.#errors = `${this.#errors}${bytes}`.slice(-4_000);
    });
    createInterface({ input: this.#child.stdout }).on("line", (line) => this.#take(line));
  }

  /** In the order they came. */
  get heard(): readonly Heard[] {
    return this.#heard;
  }

  /** Resolves with the QoS that was granted. */
  async subscribe(filter: string, qos: number): Promise<number> {
    const before = this.#count("subscribed");
    this.#child.stdin.write(`subscribe ${filter} ${qos}\n`);
    return Number(await this.said("subscribed", before + 1));
  }

  /** Payloads `<qos>-0`, `<qos>-1`, …; resolves with how many were acknowledged. */
  async publish(topic: string, qos: number, count: number): Promise<number> {
    const before = this.#count("published");
    this.#child.stdin.write(`publish ${topic} ${qos} ${count}\n`);
    return Number(await this.said("published", before + 1));
  }

  /** Resolves with the word behind `what` once it was said so many times in all. */
  async said(what: string, times = 1): Promise<string> {
    await this.until(() => this.#count(what) >= times, `"${what}", ${times} times`);
    return this.#lines.filter((line) => line.startsWith(what))[times - 1]!.slice(what.length + 1);
  }

  /** Waits for a condition; where it does not come, says what the client has said. */
  async until(condition: () => boolean, what: string): Promise<void> {
    await waitFor(condition, { what, deadlineMs: DEADLINE_MS, everyMs: 10 }).catch((cause: unknown) => {
      throw new Error(`no ${what}; it said ${this.#lines.join(", ")} and ${this.#errors}`, { cause });
    });
  }

  /** The end of its input: it says goodbye. */
  async end(): Promise<void> {
    this.#child.stdin.end();
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }

  #count(what: string): number {
    return this.#lines.filter((line) => line.startsWith(what)).length;
  }

  #take(line: string): void {
    const [what, topic, qos, payload] = line.split(" ");
    if (what === "message") this.#heard.push({ topic: topic!, qos: Number(qos), payload: payload! });
    else this.#lines.push(line);
  }
}
