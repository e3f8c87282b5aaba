/** Tells listeners which devices of one partition may not connect: changes as they are made, and how far it has come. */
import { registry, subjects } from "@myelin/contract";
import type { Clock, Timer } from "@myelin/kernel";

/** Short enough that nobody notices, long enough that a bulk of changes costs a few messages. */
const GATHER_MS = 5;
/** Whoever has missed a change notices by then. */
const ASSURE_MS = 2_000;
const MAX_KEYS = 1_000;

export interface BarTellerOptions {
  readonly partition: number;
  readonly epoch: number;
  readonly clock: Clock;
  publish(subject: string, data: Uint8Array): void;
}

/** One per owned partition. What is true is in the table; this only tells that it has changed. */
export class BarTeller {
  #sequence = 0;
  #gathered = new Map<string, { readonly key: registry.Key; readonly barred: boolean }>();
  #timer: Timer | undefined;
  #assuring: Timer | undefined;

  constructor(private readonly options: BarTellerOptions) {}

  start(): void {
    const { clock } = this.options;
    this.#assuring = clock.setInterval(() => this.#tell([]), ASSURE_MS).unref();
    this.#tell([]);
  }

  stop(): void {
    const { clock } = this.options;
    clock.clear(this.#assuring);
    clock.clear(this.#timer);
  }

  /** What answers a question together with what the table says now. */
  place(): registry.BarPlace {
    // What is gathered is in the table already and told later: whoever has the place hears it again, which changes nothing.
    return { epoch: this.options.epoch, sequence: this.#sequence };
  }

  changed(key: registry.Key, barred: boolean): void {
    this.#gathered.set(`${key.tenant}\0${key.id}`, { key, barred });
    this.#timer ??= this.options.clock.setTimeout(() => this.#flush(), GATHER_MS);
  }

  #flush(): void {
    this.#timer = undefined;
    const all = [...this.#gathered.values()];
    this.#gathered = new Map();
    for (let from = 0; from < all.length; from += MAX_KEYS) {
      this.#sequence += 1;
      this.#tell(all.slice(from, from + MAX_KEYS));
    }
  }

  #tell(changes: readonly { readonly key: registry.Key; readonly barred: boolean }[]): void {
    const { partition, publish } = this.options;
    const keysOf = (wanted: boolean): registry.Key[] =>
      changes.flatMap(({ key, barred }) => (barred === wanted ? key : []));
    const change = { partition, place: this.place(), barred: keysOf(true), freed: keysOf(false) };
    publish(subjects.registryBars(partition), registry.BarChange.encode(change).finish());
  }
}
