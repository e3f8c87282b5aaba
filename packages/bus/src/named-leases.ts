/** Work that exactly one instance of a service does at a time, by name: a bridge to another broker, for example. */
import type { Clock, ComponentCondition } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import type { KeyValue, Liveness, NamedLease, NamedLeases, ReleaseReason } from "./api.js";
import { preferredHolder } from "./lease.js";
import { LeaseSet } from "./lease-set.js";

/** `prefix` keeps the names apart from all else in the bucket. */
export interface NamedLeasesOptions {
  readonly prefix: string;
  readonly instance: string;
  readonly incarnation: number;
  readonly store: () => Promise<Pick<KeyValue, "entries" | "put">>;
  readonly liveness: Pick<Liveness, "instances">;
  readonly logger: Logger;
  readonly clock: Clock;
}

export class LeasedNames implements NamedLeases {
  readonly name: string;
  readonly #prefix: string;
  readonly #leases: LeaseSet<NamedLease>;
  readonly #leaving = new Map<string, Promise<void>>();
  #wanted: ReadonlySet<string> = new Set();
  #handlers: Parameters<NamedLeases["onChange"]>[0] = {
    acquired: async () => undefined,
    released: async () => undefined,
  };

  constructor(options: NamedLeasesOptions) {
    const { prefix, logger } = options;
    this.name = `${prefix}-leases`;
    this.#prefix = `${prefix}.`;
    const nameOf = (key: string): string => key.slice(this.#prefix.length);
    this.#leases = new LeaseSet({
      ...options,
      describe: (key) => `the ${prefix} ${nameOf(key)}`,
      tenureOf: (key, epoch, isHeld) => ({
        name: nameOf(key),
        epoch,
        get held() {
          return isHeld();
        },
      }),
      preferred: preferredHolder,
      handlers: () => this.#handlers,
      onError: (err, text, key) => logger.error({ err, name: nameOf(key) }, text),
    });
  }

  get held(): readonly NamedLease[] {
    return [...this.#leases.held()];
  }

  condition(): ComponentCondition {
    return this.#leases.condition();
  }

  onChange(handlers: {
    acquired(lease: NamedLease): Promise<void>;
    released(lease: NamedLease, reason: ReleaseReason): Promise<void>;
  }): void {
    this.#handlers = handlers;
  }

  want(names: Iterable<string>): void {
    const before = this.#wanted;
    this.#wanted = new Set(names);
    for (const name of before) if (!this.#wanted.has(name)) this.#leave(name);
    for (const name of this.#wanted) if (!this.#leaving.has(name)) this.#leases.add(this.#prefix + name);
  }

  start(): Promise<void> {
    return this.#leases.start();
  }

  stop(): Promise<void> {
    return this.#leases.stop();
  }

  #leave(name: string): void {
    if (this.#leaving.has(name)) return;
    const left = this.#leases.remove(this.#prefix + name).then(() => {
      this.#leaving.delete(name);
      // Wanted again meanwhile.
      if (this.#wanted.has(name)) this.#leases.add(this.#prefix + name);
    });
    this.#leaving.set(name, left);
  }
}
