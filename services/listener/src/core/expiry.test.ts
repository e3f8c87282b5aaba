import { expect, it } from "vitest";
import { expiryUs } from "./expiry.js";

it.each([
  ["whole", 1_000_000, 2.5, 1_002_500],
  ["whole, however short the time is", 1_000_000, 0.0001, 1_000_000],
  ["what an envelope can say, however long it is", 1_000_000, 1e300, Number.MAX_SAFE_INTEGER],
  ["what an envelope can say, however late it begins", Number.MAX_SAFE_INTEGER, 1, Number.MAX_SAFE_INTEGER],
])("the end of a message's time is %s", (_, fromUs, ttlMs, expected) => {
  expect(expiryUs(fromUs, ttlMs)).toBe(expected);
});
