import { AppError } from "@myelin/kernel";
import { expect, test } from "vitest";
import { waitFor } from "./wait-for.js";

test("answers with the first value that is not false, null or undefined", async () => {
  const answers = [false, null, undefined, 0];
  expect(await waitFor(() => answers.shift(), { what: "a value", everyMs: 1 })).toBe(0);
  expect(answers).toEqual([]);
});

test("takes a condition that throws for one that is not met yet", async () => {
  let tries = 0;
  const condition = (): string => {
    tries += 1;
    if (tries < 3) throw new RangeError("not yet");
    return "done";
  };
  expect(await waitFor(condition, { what: "the third try", everyMs: 1 })).toBe("done");
});

test("says what it waited for, and why the last try failed, when the deadline passes", async () => {
  const failure = new RangeError("still closed");
  const wait = waitFor(
    () => {
      throw failure;
    },
    { what: "the door to open", deadlineMs: 30, everyMs: 5 },
  );
  const error = await wait.catch((reason: unknown) => reason);
  expect(AppError.is(error) && error.code).toBe("operation.timeout");
  expect((error as Error).message).toBe("waited in vain for the door to open, 30 ms");
  expect((error as Error).cause).toBe(failure);
});

test("does not wait longer than its deadline for a condition that never answers", async () => {
  const never = new Promise<boolean>(() => undefined);
  await expect(waitFor(() => never, { what: "an answer", deadlineMs: 30 })).rejects.toThrow("an answer");
});

test("ends with the signal's reason", async () => {
  const reason = new RangeError("enough");
  await expect(waitFor(() => false, { what: "nothing", signal: AbortSignal.abort(reason) })).rejects.toBe(
    reason,
  );
});
