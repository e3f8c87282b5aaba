/** Remembers the plan of every channel that was met: two array look-ups per message, bounded in all. */
import type { BatchView } from "@myelin/contract";
import type { Plan, PlanCompiler } from "./plan.js";

const PAGE_BITS = 12;
const PAGE_SIZE = 1 << PAGE_BITS;
const PAGE_MASK = PAGE_SIZE - 1;

/** The plans of one incarnation of one producer. */
export class ProducerPlans {
  /** Sparse: channel numbers only grow, so the pages in use are a window at the end. */
  readonly pages = new Map<number, (Plan | undefined)[]>();
  lastPage = -1;
  lastPlans: (Plan | undefined)[] = [];
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

/** Void as a whole when the compiler's generation has moved on: call `sync` before each batch. */
export class PlanCache {
  private readonly producers = new Map<string, ProducerPlans>();
  private uninterned = new Map<string, Plan>();
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
  }

  /** Pages held at the moment. */
  get size(): number {
    return this.pageCount;
  }

  /** The plans of the batch's producer; drops everything first when routes or subscriptions have changed. */
  sync(view: BatchView): ProducerPlans {
    if (this.generation !== this.compiler.generation) {
      this.producers.clear();
      this.uninterned.clear();
      this.pageCount = 0;
      this.generation = this.compiler.generation;
    }
    this.batches++;
    let plans = this.producers.get(view.producer);
    if (plans === undefined || plans.incarnation !== view.producerIncarnation) {
      if (plans !== undefined) this.pageCount -= plans.pages.size;
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
    this.pageCount -= plans.pages.size;
    this.producers.delete(producer);
  }

  /** The plan of the view's current envelope. The hot path: nothing is allocated for a channel that is known. */
  find(plans: ProducerPlans, view: BatchView): Plan {
    const channel = view.channel;
    if (channel === 0) return this.findUninterned(view);
    const page = channel >>> PAGE_BITS;
    if (page !== plans.lastPage) this.turnTo(plans, page);
    const plan = plans.lastPlans[channel & PAGE_MASK];
    return plan === undefined ? this.fill(plans, view) : plan;
  }

  private turnTo(plans: ProducerPlans, page: number): void {
    let found = plans.pages.get(page);
    if (found === undefined) {
      if (this.pageCount >= this.maxPages) this.dropPage(plans);
      found = new Array<Plan | undefined>(PAGE_SIZE).fill(undefined);
      plans.pages.set(page, found);
      this.pageCount++;
    }
    plans.lastPage = page;
    plans.lastPlans = found;
  }

  private fill(plans: ProducerPlans, view: BatchView): Plan {
    const plan = this.compiler.compile(view.head());
    plans.lastPlans[view.channel & PAGE_MASK] = plan;
    return plan;
  }

  private findUninterned(view: BatchView): Plan {
    const key = view.headBytes().toString("latin1");
    let plan = this.uninterned.get(key);
    if (plan === undefined) {
      plan = this.compiler.compile(view.head());
      // Dropped as a whole: such heads are rare, and a second generation would cost more than compiling again.
      if (this.uninterned.size >= this.maxUninterned) this.uninterned = new Map();
      this.uninterned.set(key, plan);
    }
    return plan;
  }

  private dropPage(plans: ProducerPlans): void {
    let victim = plans;
    // A producer without pages cannot make room by itself: the one with most of them does.
    if (victim.pages.size === 0) {
      for (const other of this.producers.values()) if (other.pages.size > victim.pages.size) victim = other;
    }
    let lowest = Number.POSITIVE_INFINITY;
    for (const page of victim.pages.keys()) if (page < lowest) lowest = page;
    if (!victim.pages.delete(lowest)) return;
    victim.lastPage = -1;
    this.pageCount--;
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
