/** The homes of MQTT sessions in this process: one per partition it owns; and what it knows of those elsewhere. */
import { randomInt } from "node:crypto";
import { subjects, session as wire } from "@myelin/contract";
import type { Ledger } from "../core/ledger.js";
import type { DispatcherPorts, Ownership, Release } from "../core/ports.js";
import { HomeDirectory } from "./home-directory.js";
import type { JournalPort } from "./journal.js";
import { SessionOperations } from "./operations.js";
import { SessionHome, type SessionHomeOptions } from "./session-home.js";

export interface SessionsOptions {
  readonly ports: DispatcherPorts;
  readonly ledger: Ledger;
  readonly limits: SessionHomeOptions["limits"];
  readonly openJournal: (partition: number) => JournalPort;
  readonly incarnationOf: (listener: string) => number | undefined;
  /** Messages that match a filter go to the sessions of a partition from now on, or do so no longer. */
  readonly wanted: (partition: number, key: string) => void;
  readonly unwanted: (partition: number, key: string) => void;
  /** See `HomeDirectoryOptions`. */
  readonly grouped: (partition: number, key: string, present: number, away: number) => void;
  /** A member of a group of a shared subscription is connected elsewhere: on a listener, or of another partition's home. */
  readonly isPresentBeside: (partition: number, key: string) => boolean;
  /** The home of a partition is another process now, or one that has begun anew. */
  readonly moved: (partition: number) => void;
}

const NOTHING = new Uint8Array(0);
/** Longer than the owner of a partition needs to be replaced; a partition that nobody takes must not stop the others for ever. */
const KNOWN_WITHIN_MS = 8_000;
const ASK_AGAIN_MS = 500;

/** One per process. */
export class Sessions {
  readonly directory: HomeDirectory;
  readonly homes = new Map<number, SessionHome>();
  private readonly seed = randomInt(2 ** 32);
  private readonly releases: Release[] = [];
  private readonly asked = new Map<number, number>();

  constructor(private readonly options: SessionsOptions) {
    const { ports, wanted, unwanted, grouped, moved } = options;
    this.directory = new HomeDirectory({
      partitions: ports.partitions,
      clock: ports.clock,
      wanted,
      unwanted,
      grouped,
      moved,
      replayNeeded: (partition) => this.ask(partition),
    });
  }

  start(): void {
    const { ports } = this.options;
    this.releases.push(
      ports.subscribe(subjects.sessionBeat(), (data) => this.directory.beat(wire.HomeBeat.decode(data))),
      ports.subscribe(subjects.sessionInterest(), (data) =>
        this.directory.interest(wire.SessionInterest.decode(data)),
      ),
      new SessionOperations(ports, this.homes).serve(),
    );
  }

  stop(): void {
    for (const release of this.releases.splice(0)) release();
  }

  /** The lease of a partition was taken: resolves when its sessions are served. @throws AppError `bus.*` */
  async acquire(ownership: Ownership): Promise<void> {
    const { ports, openJournal, ...options } = this.options;
    const { partition } = ownership;
    const home = new SessionHome({
      ...options,
      ports,
      ownership,
      seed: this.seed,
      journal: openJournal(partition),
      isPresentBeside: (key) => options.isPresentBeside(partition, key),
      onFenced: () => {
        if (this.homes.get(partition) === home) this.homes.delete(partition);
      },
    });
    this.homes.get(partition)?.close();
    this.homes.set(partition, home);
    try {
      await home.start();
    } catch (err) {
      home.close();
      this.homes.delete(partition);
      throw err;
    }
  }

  /** Resolves when it is known what all sessions want, so that no message passes them by. */
  async known(): Promise<void> {
    const { directory } = this;
    const { log } = this.options.ports;
    for (const partition of directory.unknown) this.ask(partition);
    if (await directory.allKnown(KNOWN_WITHIN_MS)) return;
    log.warn(
      { partitions: directory.unknown },
      "the homes of these partitions have not said which messages their MQTT sessions want; going on without",
    );
  }

  /** The lease ends; with a deadline, what is in memory only is written down before. */
  async release(partition: number, deadlineMs: number): Promise<void> {
    const home = this.homes.get(partition);
    if (home === undefined) return;
    this.homes.delete(partition);
    try {
      if (deadlineMs > 0) await home.settle(deadlineMs);
    } finally {
      home.close();
    }
  }

  listenerChanged(listener: string): void {
    for (const home of this.homes.values()) home.listenerChanged(listener);
  }

  groupChanged(key: string): void {
    for (const home of this.homes.values()) home.groupChanged(key);
  }

  /** NATS was away. */
  reconnected(): void {
    for (const home of this.homes.values()) home.announce();
  }

  /** Sessions in this process, messages that wait for them, and appends to their journals since the start. */
  get figures(): { readonly sessions: number; readonly queued: number; readonly appends: number } {
    const sum = { sessions: 0, queued: 0, appends: 0 };
    for (const { figures } of this.homes.values()) {
      sum.sessions += figures.sessions;
      sum.queued += figures.queued;
      sum.appends += figures.appends;
    }
    return sum;
  }

  private ask(partition: number): void {
    const { ports } = this.options;
    const nowMs = ports.clock.nowMs();
    if (nowMs - (this.asked.get(partition) ?? Number.NEGATIVE_INFINITY) < ASK_AGAIN_MS) return;
    this.asked.set(partition, nowMs);
    ports.publish(subjects.sessionInterestSync(partition), NOTHING);
  }
}
