/** One lease, of a partition or of something named: seen from outside, taken, renewed, given up. */
import { AppError, type Clock, withDeadline } from "@myelin/kernel";
import type { KeyValue, ReleaseReason } from "./api.js";
import {
  decodeLease,
  encodeLease,
  FENCE_MS,
  type Lease,
  PREFERENCE_MS,
  RENEW_MS,
  TAKE_OVER_MS,
} from "./lease.js";

/** How long the work under a lease may take to end before the lease is given up all the same. */
const RELEASE_DEADLINE_MS = 5_000;
const ACQUIRE_DEADLINE_MS = 30_000;
/** After its work could not be taken up, the lease is left to others for this long. */
const RETRY_MS = 2_000;
/** An owner keeps what it has taken for at least this long, so that leases do not wander while instances come. */
const MIN_TENURE_MS = 2_000;

/** A lease that is held: what `Ownership` says without the partition. */
export interface Tenure {
  readonly epoch: number;
  readonly held: boolean;
}

/** What the leases of an instance share. `T` is what its handlers are told of a lease. */
export interface LeaseContext<T extends Tenure> {
  readonly store: Pick<KeyValue, "put">;
  readonly instance: string;
  readonly incarnation: number;
  readonly clock: Clock;
  readonly handlers: () => {
    acquired(tenure: T): Promise<void>;
    released(tenure: T, reason: ReleaseReason): Promise<void>;
  };
  /** A handler failed; the lease goes on or is given up, as the text says. */
  readonly onError: (error: AppError, text: string, key: string) => void;
  /** What the key stands for, in sentences: `partition 3`. */
  describe(key: string): string;
  /** `isHeld` is to be asked for each `held`. */
  tenureOf(key: string, epoch: number, isHeld: () => boolean): T;
  /** Who should have the lease among those that live, without `except`. */
  preferred(key: string, except?: string): string | undefined;
}

/** `acquiring` and `releasing` hold the lease too: its renewals go on. */
type State = "none" | "taking" | "acquiring" | "owned" | "releasing";

/** Its methods are called by the set it belongs to, see `LeaseSet`. */
export class HeldLease<T extends Tenure> {
  readonly key: string;
  readonly #context: LeaseContext<T>;
  #state: State = "none";
  /** Newest revision known, since when, and what it says. */
  #revision = 0;
  #seenMs = 0;
  #lease: Lease | undefined;
  /** When the last renewal that is known to have succeeded was sent. */
  #renewedMs = Number.NEGATIVE_INFINITY;
  #takenMs = 0;
  #notBeforeMs = 0;
  #renewal: Promise<void> | undefined;
  #ownership: T | undefined;
  #work: Promise<void> = Promise.resolve();
  #taking: Promise<void> = Promise.resolve();

  constructor(context: LeaseContext<T>, key: string) {
    this.#context = context;
    this.key = key;
    this.#seenMs = context.clock.nowMs();
  }

  /** The ownership while it may be worked with: from `acquired` until `released` begins. */
  get ownership(): T | undefined {
    return this.#state === "owned" || this.#state === "acquiring" ? this.#ownership : undefined;
  }

  /** Resolves when no handler is under way. */
  get settled(): Promise<void> {
    return this.#work;
  }

  /** Takes in what the store holds. `value` is undefined when there is no lease yet. */
  observe(revision: number, value: Uint8Array | undefined): void {
    if (revision < this.#revision || (revision === this.#revision && revision !== 0)) return;
    const lease = value === undefined ? undefined : decodeLease(value);
    const isMine = lease?.owner === this.#context.instance && lease.incarnation === this.#context.incarnation;
    // A renewal whose answer was lost: the revision is ours. It was sent at an unknown time, so the fence stays where it is.
    if (this.#isHolding && !isMine) this.#lose();
    this.#note(revision, lease);
  }

  /** Called four times a second: does what is due. `mayGive`: a handover may begin; `mayTake`: the store was seen just now. */
  tick(mayGive: boolean, mayTake: boolean): "gave" | undefined {
    if (this.#isHolding) {
      this.checkFence();
      const isDue = this.#context.clock.nowMs() - this.#renewedMs >= RENEW_MS;
      if (isDue && this.#ownership !== undefined && this.#renewal === undefined) {
        this.#renewal = this.#renew().finally(() => {
          this.#renewal = undefined;
        });
      }
      if (mayGive && this.#shouldGive()) {
        void this.release("handover");
        return "gave";
      }
    } else if (mayTake && this.#state === "none" && this.#mayTake()) this.#taking = this.#take();
    return undefined;
  }

  /** Gives up what could not be renewed in time. Needs no answer of anybody. */
  checkFence(): void {
    if (this.#isHolding && !this.#isHeld) this.#lose();
  }

  /** Ends the work, then frees the lease; what is just being taken is freed when it is. */
  release(reason: "handover" | "stop"): Promise<void> {
    if (this.#state === "taking") return this.#taking.then(() => this.release(reason));
    if (this.#state !== "owned" && this.#state !== "acquiring") return this.#work;
    const before = this.#work;
    const ownership = this.#ownership;
    this.#state = "releasing";
    this.#work = (async () => {
      await before;
      if (ownership !== undefined) await this.#tell(ownership, reason);
      const isStillOurs = this.#isHeld;
      // From here on another may take it.
      this.#ownership = undefined;
      // A renewal under way changes the revision that freeing must name.
      await this.#renewal;
      if (isStillOurs) await this.#free(reason === "stop");
      this.#state = "none";
    })();
    return this.#work;
  }

  get #isHolding(): boolean {
    return this.#state === "acquiring" || this.#state === "owned" || this.#state === "releasing";
  }

  get #isHeld(): boolean {
    return this.#ownership !== undefined && this.#context.clock.nowMs() - this.#renewedMs < FENCE_MS;
  }

  #note(revision: number, lease: Lease | undefined): void {
    this.#revision = revision;
    this.#lease = lease;
    this.#seenMs = this.#context.clock.nowMs();
  }

  #shouldGive(): boolean {
    const { clock, instance } = this.#context;
    if (this.#state !== "owned" || clock.nowMs() - this.#takenMs < MIN_TENURE_MS) return false;
    return this.#context.preferred(this.key) !== instance;
  }

  #mayTake(): boolean {
    const { clock, instance } = this.#context;
    const lease = this.#lease;
    const seenForMs = clock.nowMs() - this.#seenMs;
    if (clock.nowMs() < this.#notBeforeMs) return false;
    // One process per instance name: what bears our name is ours, of an earlier start or of a moment ago.
    if (lease?.owner === instance) return true;
    const isFree = this.#revision === 0 || lease?.owner === "";
    if (isFree && lease?.draining === true) return true;
    const isPreferred = this.#context.preferred(this.key, lease?.owner) === instance;
    if (isFree) return isPreferred || seenForMs >= TAKE_OVER_MS;
    return seenForMs >= (isPreferred ? TAKE_OVER_MS : TAKE_OVER_MS + PREFERENCE_MS);
  }

  async #take(): Promise<void> {
    this.#state = "taking";
    const sentMs = this.#context.clock.nowMs();
    const lease = this.#leaseOf(this.#context.instance, false);
    let revision: number;
    try {
      revision = await this.#put(lease);
    } catch {
      // Another was first, or nobody knows: what the store shows next decides.
      this.#state = "none";
      return;
    }
    this.#renewedMs = sentMs;
    this.#takenMs = this.#context.clock.nowMs();
    this.#note(revision, lease);
    this.#state = "acquiring";
    const isHeld = (): boolean => this.#isHeld && this.#ownership === ownership;
    const ownership: T = this.#context.tenureOf(this.key, revision, isHeld);
    this.#ownership = ownership;
    // The answer may have taken so long that the lease is stale on arrival.
    if (!ownership.held) {
      this.#ownership = undefined;
      this.#state = "none";
      return;
    }
    this.#work = this.#acquire(ownership);
    await this.#work;
  }

  async #acquire(ownership: T): Promise<void> {
    try {
      const options = { clock: this.#context.clock, what: `taking up ${this.#context.describe(this.key)}` };
      const { acquired } = this.#context.handlers();
      await withDeadline(undefined, ACQUIRE_DEADLINE_MS, () => acquired(ownership), options);
      if (this.#state === "acquiring" && this.#ownership === ownership) this.#state = "owned";
    } catch (thrown) {
      const text = "a lease was taken whose work could not be taken up";
      this.#context.onError(AppError.from(thrown), text, this.key);
      this.#notBeforeMs = this.#context.clock.nowMs() + RETRY_MS;
      // Released in its turn, so that another instance may try.
      queueMicrotask(() => void this.release("handover"));
    }
  }

  async #renew(): Promise<void> {
    const ownership = this.#ownership;
    const sentMs = this.#context.clock.nowMs();
    const lease = this.#leaseOf(this.#context.instance, false);
    try {
      const revision = await this.#put(lease);
      if (revision > this.#revision) this.#note(revision, lease);
      // Lost or given up while the answer was under way: the renewal keeps nobody in office.
      if (ownership !== undefined && this.#ownership === ownership) this.#renewedMs = sentMs;
    } catch {
      // Conflict or silence: what the store shows next decides, and the fence if nothing does.
    }
  }

  async #free(draining: boolean): Promise<void> {
    const lease = this.#leaseOf("", draining);
    try {
      this.#note(await this.#put(lease), lease);
    } catch {
      // It runs out by itself, as if this process had died.
    }
  }

  #lose(): void {
    const ownership = this.#ownership;
    this.#ownership = undefined;
    this.#renewedMs = Number.NEGATIVE_INFINITY;
    // A release under way has told the handlers already.
    if (this.#state === "releasing" || ownership === undefined) return;
    const before = this.#work;
    this.#state = "releasing";
    this.#work = (async () => {
      await before;
      await this.#tell(ownership, "lost");
      this.#state = "none";
    })();
  }

  async #tell(ownership: T, reason: ReleaseReason): Promise<void> {
    const { clock, handlers, onError, describe } = this.#context;
    try {
      const options = { clock, what: `the release of ${describe(this.key)}` };
      await withDeadline(
        undefined,
        RELEASE_DEADLINE_MS,
        () => handlers().released(ownership, reason),
        options,
      );
    } catch (thrown) {
      onError(AppError.from(thrown), "a lease could not be released cleanly", this.key);
    }
  }

  #put(lease: Lease): Promise<number> {
    return this.#context.store.put(this.key, encodeLease(lease), this.#revision);
  }

  #leaseOf(owner: string, draining: boolean): Lease {
    const { incarnation, clock } = this.#context;
    return { owner, incarnation, renewedAtMs: clock.wallMs(), draining };
  }
}
