/** Which subscribers want a path: their filters lie in the compact index, they themselves in a list beside it. */
import { randomInt } from "node:crypto";
import { type AddOutcome, FilterIndex, type FilterIndexOptions, type RemoveOutcome } from "@myelin/contract";

/** Holds filters for subscribers of any kind, known by identity. */
export class SubscriberIndex<S extends object> {
  readonly filters: FilterIndex;
  /** Subscriptions that are not held because a bound was reached. */
  refused = 0;
  private readonly numbers = new Map<S, number>();
  private readonly byNumber: (S | undefined)[] = [];
  private readonly free: number[] = [];

  constructor(options: Omit<FilterIndexOptions, "seed"> = {}) {
    this.filters = new FilterIndex({ ...options, seed: randomInt(2 ** 32) });
  }

  /** As `FilterIndex.add`. */
  add(tenant: string, filter: string, subscriber: S, tag = 0): AddOutcome {
    const known = this.numbers.get(subscriber);
    const number = known ?? this.free.at(-1) ?? this.byNumber.length;
    const outcome = this.filters.add(tenant, filter, number, tag);
    if (outcome === "full") this.refused++;
    if (known === undefined && (outcome === "first" || outcome === "added")) {
      if (number === this.byNumber.length) this.byNumber.push(subscriber);
      else {
        this.free.pop();
        this.byNumber[number] = subscriber;
      }
      this.numbers.set(subscriber, number);
    }
    return outcome;
  }

  remove(tenant: string, filter: string, subscriber: S): RemoveOutcome {
    const number = this.numbers.get(subscriber);
    if (number === undefined) return "absent";
    const outcome = this.filters.remove(tenant, filter, number);
    this.forgetIfEmpty(subscriber, number);
    return outcome;
  }

  /** As `FilterIndex.removeOwner`. */
  removeAll(subscriber: S, isGone?: (tag: number) => boolean): void {
    const number = this.numbers.get(subscriber);
    if (number === undefined) return;
    this.filters.removeOwner(number, undefined, isGone);
    this.forgetIfEmpty(subscriber, number);
  }

  /** Filters that a subscriber holds. */
  countOf(subscriber: S): number {
    const number = this.numbers.get(subscriber);
    return number === undefined ? 0 : this.filters.countOf(number);
  }

  holds(tenant: string, filter: string, subscriber: S): boolean {
    const number = this.numbers.get(subscriber);
    return number !== undefined && this.filters.tagOf(tenant, filter, number) !== undefined;
  }

  /** Visits a subscriber once for each of its filters that matches. */
  match(tenant: string, path: string, visit: (subscriber: S) => void): void {
    this.filters.match(tenant, path, (number) => visit(this.byNumber[number]!));
  }

  private forgetIfEmpty(subscriber: S, number: number): void {
    if (this.filters.countOf(number) > 0) return;
    this.numbers.delete(subscriber);
    this.byNumber[number] = undefined;
    this.free.push(number);
  }
}
