import { expect, it } from "vitest";
import { Arrivals } from "./arrivals.js";

it("knows the earliest arrival of each class among the numbers that count", () => {
  const arrivals = new Arrivals();
  arrivals.note(4, 10);
  arrivals.note(9, 40);
  arrivals.note(7, 50);
  arrivals.note(8, 60);
  expect(arrivals.firstFrom(5, 2, 1)).toBe(40);
  expect(arrivals.firstFrom(5, 2, 0)).toBe(60);
  expect(arrivals.firstFrom(10, 2, 0)).toBeUndefined();
});

it("keeps the first time of a reading that comes again", () => {
  const arrivals = new Arrivals();
  arrivals.note(1, 10);
  arrivals.note(1, 20);
  expect(arrivals.firstFrom(0, 2, 1)).toBe(10);
});

it("forgets the oldest beyond its bound", () => {
  const arrivals = new Arrivals();
  for (let n = 0; n <= 10_000; n++) arrivals.note(n, n);
  expect(arrivals.firstFrom(0, 1, 0)).toBe(1);
});
