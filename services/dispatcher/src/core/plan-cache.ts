/** Remembers the plan of every channel that was met: two array look-ups per message, bounded in all. */
import { type BatchView, type Head, PathWatches } from "@myelin/contract";
import type { Plan, PlanCompiler } from "./plan.js";

const PAGE_BITS = 12;
const PAGE_SIZE = 1 << PAGE_BITS;
const PAGE_MASK = PAGE_SIZE - 1;

type Plans = (Plan | undefined)[];

/** The plans of 4,096 channels. A plan's slot, by which its path is watched, is `id * PAGE_SIZE` and its place. */
interface Page {
  readonly id: number;
  readonly plans: Plans;
}

/** The plans of one incarnation of one producer. */
export class ProducerPlans {
  /** Sparse: channel numbers only grow, so the pages in use are a window at the end. */
  readonly pages = new Map<number, Page>();
  lastPage = -1;
  lastId = 0;
  lastPlans: Plans = [];
  lastUsedBatch = 0;

  constructor(readonly incarnation: number) {}
}

export interface PlanCacheOptions {
  /** Pages of 4,096 channels over all producers; beyond it the lowest page of the producer that grows is dropped. */
  readonly maxPages?: number;
  /** Producers remembered; beyond it the one not heard for longest is forgotten. */
  readonly maxProducers?: number;
  /** Plans of heads without a channel. */
  readonly maxUninterned?: number;
}

/**
 * Void as a whole when the compiler's generation has moved on: call `sync` before each batch. A plan that a listener's
 * subscription changes is taken out when it does, so that nothing has to be asked per message.
 */
export class PlanCache {
  private readonly producers = new Map<string, ProducerPlans>();
  /** Pages by their id. */
  private readonly pool: (Page | undefined)[] = [];
  private readonly freeIds: number[] = [];
  private readonly watches: PathWatches;
  /** Heads without a channel, and the numbers they are given here; their plans are kept as those of one more producer. */
  private readonly heads = new Map<string, number>();
  private headPlans = new ProducerPlans(0);
  private generation = 0;
  private pageCount = 0;
  private batches = 0;
  private readonly maxPages: number;
  private readonly maxProducers: number;
  private readonly maxUninterned: number;

  constructor(
    private readonly compiler: PlanCompiler,
    options: PlanCacheOptions = {},
  ) {
    this.maxPages = options.maxPages ?? 512;
    this.maxProducers = options.maxProducers ?? 256;
    this.maxUninterned = options.maxUninterned ?? 10_000;
    this.watches = new PathWatches(compiler.listeners.filters, {
      onStale: (slot) => this.voidSlot(slot),
      onAllStale: () => this.voidAll(),
    });
  }

  /** Pages held at the moment. */
  get size(): number {
    return this.pageCount;
  }

  /** The plans of the batch's producer; drops everything first when routes or apps have changed. */
  sync(view: BatchView): ProducerPlans {
    if (this.generation !== this.compiler.generation) {
      this.clear();
      this.generation = this.compiler.generation;
    }
    this.batches++;
    let plans = this.producers.get(view.producer);
    if (plans === undefined || plans.incarnation !== view.producerIncarnation) {
      if (plans !== undefined) this.forget(view.producer);
      else if (this.producers.size >= this.maxProducers) this.forgetOldest();
      plans = new ProducerPlans(view.producerIncarnation);
      this.producers.set(view.producer, plans);
    }
    plans.lastUsedBatch = this.batches;
    return plans;
  }

  /** Forgets a producer that is gone. */
  forget(producer: string): void {
    const plans = this.producers.get(producer);
    if (plans === undefined) return;
    this.releaseAll(plans);
    this.producers.delete(producer);
  }

  /** The plan of the view's current envelope. The hot path: nothing is allocated for a channel that is known. */
  find(plans: ProducerPlans, view: BatchView): Plan {
    const channel = view.channel;
    return channel === 0 ? this.findUninterned(view) : this.planOf(plans, channel, view);
  }

  private planOf(plans: ProducerPlans, channel: number, view: BatchView): Plan {
    const page = channel >>> PAGE_BITS;
    if (page !== plans.lastPage) this.turnTo(plans, page);
    const plan = plans.lastPlans[channel & PAGE_MASK];
    return plan === undefined ? this.fill(plans, channel, view.head()) : plan;
  }

  private turnTo(plans: ProducerPlans, number: number): void {
    let page = plans.pages.get(number);
    if (page === undefined) {
      if (this.pageCount >= this.maxPages) this.dropPage(plans);
      const id = this.freeIds.pop() ?? this.pool.length;
      page = { id, plans: new Array<Plan | undefined>(PAGE_SIZE).fill(undefined) };
      this.pool[id] = page;
      plans.pages.set(number, page);
      this.pageCount++;
    }
    plans.lastPage = number;
    plans.lastId = page.id;
    plans.lastPlans = page.plans;
  }

  private fill(plans: ProducerPlans, channel: number, head: Head): Plan {
    const plan = this.compiler.compile(head);
    const place = channel & PAGE_MASK;
    plans.lastPlans[place] = plan;
    this.watches.watch(plans.lastId * PAGE_SIZE + place, head.tenant, head.path);
    return plan;
  }

  /** A subscription that matches the path of this slot has come, or has gone. */
  private voidSlot(slot: number): void {
    const page = this.pool[slot >>> PAGE_BITS];
    if (page !== undefined) page.plans[slot & PAGE_MASK] = undefined;
  }

  private voidAll(): void {
    for (const page of this.pool) page?.plans.fill(undefined);
  }

  private clear(): void {
    this.watches.clear();
    this.producers.clear();
    this.heads.clear();
    this.headPlans = new ProducerPlans(0);
    this.pool.length = 0;
    this.freeIds.length = 0;
    this.pageCount = 0;
  }

  private releaseAll(plans: ProducerPlans): void {
    for (const page of plans.pages.values()) this.release(page);
  }

  private release(page: Page): void {
    const first = page.id * PAGE_SIZE;
    for (let i = 0; i < PAGE_SIZE; i++) if (page.plans[i] !== undefined) this.watches.forget(first + i);
    this.pool[page.id] = undefined;
    this.freeIds.push(page.id);
    this.pageCount--;
  }

  private findUninterned(view: BatchView): Plan {
    const key = view.headBytes().toString("latin1");
    let number = this.heads.get(key);
    if (number === undefined) {
      // Dropped as a whole: such heads are rare, and a second generation would cost more than compiling again.
      if (this.heads.size >= this.maxUninterned) {
        this.heads.clear();
        this.releaseAll(this.headPlans);
        this.headPlans = new ProducerPlans(0);
      }
      number = this.heads.size;
      this.heads.set(key, number);
    }
    return this.planOf(this.headPlans, number, view);
  }

  private dropPage(plans: ProducerPlans): void {
    let victim = plans;
    // A producer without pages cannot make room by itself: the one with most of them does.
    if (victim.pages.size === 0) {
      for (const other of this.producers.values()) if (other.pages.size > victim.pages.size) victim = other;
    }
    let lowest = Number.POSITIVE_INFINITY;
    for (const page of victim.pages.keys()) if (page < lowest) lowest = page;
    const page = victim.pages.get(lowest);
    if (page === undefined) return;
    victim.pages.delete(lowest);
    victim.lastPage = -1;
    this.release(page);
  }

  private forgetOldest(): void {
    let oldest: string | undefined;
    let age = Number.POSITIVE_INFINITY;
    for (const [name, plans] of this.producers) {
      if (plans.lastUsedBatch < age) {
        age = plans.lastUsedBatch;
        oldest = name;
      }
    }
    if (oldest !== undefined) this.forget(oldest);
  }
}
