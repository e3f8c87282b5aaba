import { expect, test } from "vitest";
import { checked, isNewEnough } from "./nats-server.mjs";

const HELLO = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

test("keeps a download with the pinned digest and refuses every other", () => {
  expect(checked(Buffer.from("hello"), HELLO).toString()).toBe("hello");
  for (const text of ["hell", "hello ", ""]) {
    expect(() => checked(Buffer.from(text), HELLO)).toThrow("damaged or not the pinned one");
  }
});

test.each([
  [2, 13, false],
  [2, 14, true],
  [2, 15, true],
  [3, 0, true],
  [1, 99, false],
])("takes version %i.%i for new enough: %s", (major, minor, answer) => {
  expect(isNewEnough(major, minor)).toBe(answer);
});
