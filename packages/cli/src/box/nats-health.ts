/** What is wrong with the nats-server of a box, and what a full disk has to do with it. */
import type { Report } from "./box.js";
import { answersAnything, answersOk } from "./probe.js";
import { hasRoom } from "./room.js";

/** A server busy with a burst may answer late. */
const ANSWER_TIMEOUT_MS = 5_000;

export class NatsHealth {
  readonly #port: number;
  readonly #folder: string;
  readonly #report: Report;
  #isFull = false;

  /** `port` is that of its monitoring, `folder` is where it stores. */
  constructor(port: number, folder: string, report: Report) {
    this.#port = port;
    this.#folder = folder;
    this.#report = report;
  }

  isReady(): Promise<boolean> {
    return answersOk(this.#port, "/healthz");
  }

  /**
   * Undefined when it is well, or another start would not help. A server that could not write gives its streams up for
   * good: when there is room again, only a new start makes it store; before, that start would fail.
   */
  async complaint(): Promise<string | undefined> {
    if (await this.isReady()) {
      this.#isFull = false;
      return undefined;
    }
    if (!(await answersAnything(this.#port, "/healthz", ANSWER_TIMEOUT_MS))) return "no sign of life";
    if (await hasRoom(this.#folder)) return "it stores nothing, though there is room";
    if (!this.#isFull) {
      this.#isFull = true;
      this.#report(`The disk of ${this.#folder} is full: no event is taken until there is room again.`);
    }
    return undefined;
  }
}
