import { Lane } from "@myelin/contract";
import { FakeClock } from "@myelin/kernel";
import { describe, expect, it } from "vitest";
import { type BooksPage, ProcessBooks } from "./process-books.js";

/** A page whose writes end when the test says so. */
class Page implements BooksPage {
  value = 0;
  readonly stored: number[] = [];
  #writes: PromiseWithResolvers<void>[] = [];

  constructor(readonly clock: FakeClock) {}

  cut(): () => Promise<void> {
    const { value } = this;
    return async () => {
      const write = Promise.withResolvers<void>();
      this.#writes.push(write);
      await write.promise;
      this.stored.push(value);
    };
  }
  get writing(): number {
    return this.#writes.length;
  }
  async end(error?: Error): Promise<void> {
    const write = this.#writes.shift();
    if (error === undefined) write?.resolve();
    else write?.reject(error);
    await this.clock.advance(0);
  }
}

function setUp(pages: number) {
  const clock = new FakeClock();
  const books = new ProcessBooks();
  const opened = Array.from({ length: pages }, () => new Page(clock));
  for (const page of opened) books.open(page);
  const booked: string[] = [];
  const settle = (name: string): void => books.whenBooked({ booked: () => booked.push(name) });
  return { clock, books, pages: opened, booked, settle };
}

describe("ProcessBooks", () => {
  it("lets something be acknowledged when the books that count it are stored, not before", async () => {
    const { clock, pages, booked, settle } = setUp(1);
    const [page] = pages as [Page];
    page.value = 1;
    settle("a");
    await clock.advance(50);
    expect(page.writing).toBe(1);
    // Counted after the cut: it is in the next books only.
    page.value = 2;
    settle("b");
    await page.end();
    expect([page.stored, booked]).toEqual([[1], ["a"]]);
    await clock.advance(50);
    await page.end();
    expect([page.stored, booked]).toEqual([
      [1, 2],
      ["a", "b"],
    ]);
  });

  it("takes the books of all services in one cut, and waits for all of them", async () => {
    const { clock, pages, booked, settle } = setUp(2);
    const [one, two] = pages as [Page, Page];
    one.value = two.value = 7;
    settle("a");
    await clock.advance(50);
    one.value = two.value = 8;
    await one.end();
    expect(booked).toEqual([]);
    await two.end();
    expect([one.stored, two.stored, booked]).toEqual([[7], [7], ["a"]]);
  });

  it("keeps what waits while the books cannot be stored, in its order", async () => {
    const { clock, pages, booked, settle } = setUp(1);
    const [page] = pages as [Page];
    settle("a");
    await clock.advance(50);
    settle("b");
    await page.end(new Error("no NATS"));
    await clock.advance(550);
    expect([page.writing, booked]).toEqual([1, []]);
    await page.end();
    expect(booked).toEqual(["a", "b"]);
  });

  it("keeps nothing waiting where no books are kept, or when the last are closed", async () => {
    const { clock, books, pages, booked, settle } = setUp(1);
    settle("a");
    const closing = books.close(pages[0]!);
    await clock.advance(0);
    await pages[0]!.end();
    await closing;
    settle("b");
    expect(booked).toEqual(["a", "b"]);
  });

  it("tells how far links have come, once per process", () => {
    const { books, pages } = setUp(2);
    const hop = { sender: "l", incarnation: 1, lane: Lane.EVENT, partition: 3, firstOrdinal: 10, count: 5 };
    for (const firstOrdinal of [10, 20, 15]) books.reached({ ...hop, firstOrdinal } as never);
    books.reached({ ...hop, partition: 4, firstOrdinal: 0 } as never);
    const link = {
      sender: "l",
      incarnation: 1,
      lane: Lane.EVENT,
      partitions: [3, 4],
      starts: [10, 0],
      ends: [25, 5],
    };
    expect(books.linksOf(pages[0]!)).toEqual([link]);
    expect(books.linksOf(pages[1]!)).toEqual([]);
  });
});
