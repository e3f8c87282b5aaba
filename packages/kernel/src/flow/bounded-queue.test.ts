import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BoundedQueue, type FullPolicy } from "./bounded-queue.js";

const signal = new AbortController().signal;

describe("BoundedQueue", () => {
  it("refuses what does not fit and leaves it to the caller", () => {
    const queue = new BoundedQueue<string>({ maxItems: 2, policy: "refuse" });
    expect([queue.tryPush("a"), queue.tryPush("b"), queue.tryPush("c")]).toEqual([true, true, false]);
    expect([queue.shift(), queue.shift(), queue.shift()]).toEqual(["a", "b", undefined]);
    expect(queue).toMatchObject({ pushed: 2, shifted: 2, dropped: 0, refused: 1, highWater: 2 });
  });

  it("makes room at the head with drop_oldest and hands over what it dropped", () => {
    const dropped: string[] = [];
    const queue = new BoundedQueue<string>({
      maxItems: 10,
      maxBytes: 10,
      policy: "drop_oldest",
      onDrop: (item) => dropped.push(item),
    });
    queue.tryPush("a", 4);
    queue.tryPush("b", 4);
    expect(queue.tryPush("c", 9)).toBe(true);
    expect(dropped).toEqual(["a", "b"]);
    expect(queue.bytes).toBe(9);
    expect(queue.tryPush("too large", 11)).toBe(false);
    expect(dropped).toEqual(["a", "b", "too large"]);
    expect(queue.peek()).toBe("c");
  });

  it("drops the arriving item with drop_newest", () => {
    const queue = new BoundedQueue<string>({ maxItems: 1, policy: "drop_newest" });
    queue.tryPush("a");
    expect(queue.tryPush("b")).toBe(false);
    expect([queue.shift(), queue.dropped]).toEqual(["a", 1]);
  });

  it("lets waiting pushes in by their order as room comes", async () => {
    const queue = new BoundedQueue<string>({ maxItems: 1, policy: "wait" });
    await queue.push("a", 0, signal);
    const waiting = [queue.push("b", 0, signal), queue.push("c", 0, signal)];
    expect(queue.tryPush("overtaker")).toBe(false);
    expect([queue.shift(), queue.shift(), queue.shift()]).toEqual(["a", "b", "c"]);
    await Promise.all(waiting);
  });

  it("forgets a waiting push whose signal aborts and lets the next one in", async () => {
    const queue = new BoundedQueue<string>({ maxItems: 9, maxBytes: 10, policy: "wait" });
    const aborter = new AbortController();
    await queue.push("a", 5, signal);
    const large = queue.push("large", 8, aborter.signal);
    const small = queue.push("small", 5, signal);
    aborter.abort();
    await expect(large).rejects.toMatchObject({ code: "operation.aborted" });
    await small;
    expect([queue.shift(), queue.shift(), queue.shift()]).toEqual(["a", "small", undefined]);
  });

  it("serves takers in their order, directly", async () => {
    const queue = new BoundedQueue<string>({ maxItems: 1, policy: "refuse" });
    const taken = [queue.take(signal), queue.take(signal)];
    queue.tryPush("a");
    queue.tryPush("b");
    expect(await Promise.all(taken)).toEqual(["a", "b"]);
    expect(queue).toMatchObject({ pushed: 2, shifted: 2, length: 0 });
  });

  it("tells everyone who waits when it closes and still gives out what it holds", async () => {
    const queue = new BoundedQueue<string>({ maxItems: 1, policy: "wait" });
    await queue.push("a", 0, signal);
    const waiting = queue.push("b", 0, signal);
    queue.close();
    queue.close();
    await expect(waiting).rejects.toMatchObject({ code: "queue.closed" });
    await expect(queue.push("c", 0, signal)).rejects.toMatchObject({ code: "queue.closed" });
    expect(await queue.take(signal)).toBe("a");
    await expect(queue.take(signal)).rejects.toMatchObject({ code: "queue.closed" });
  });

  it("refuses for ever what is larger than the whole queue", async () => {
    const queue = new BoundedQueue<string>({ maxItems: 1, maxBytes: 4, policy: "wait" });
    await expect(queue.push("a", 5, signal)).rejects.toMatchObject({ code: "queue.item_too_large" });
  });

  it("behaves as a bounded list and accounts for every item", () => {
    const policies = fc.constantFrom<FullPolicy>("refuse", "drop_oldest", "drop_newest");
    const steps = fc.array(fc.oneof(fc.constant("shift" as const), fc.integer({ min: 0, max: 12 })), {
      maxLength: 200,
    });
    fc.assert(
      fc.property(policies, steps, (policy, commands) => {
        const queue = new BoundedQueue<number>({ maxItems: 20, maxBytes: 40, policy });
        const model: number[] = [];
        for (const command of commands) {
          if (command === "shift") expect(queue.shift()).toBe(model.shift());
          else if (queue.tryPush(command, command)) model.push(command);
          while (model.length > queue.length) model.shift();
          expect(queue.length).toBeLessThanOrEqual(20);
          expect(queue.bytes).toBe(model.reduce((sum, n) => sum + n, 0));
          expect(queue.pushed).toBe(queue.shifted + queue.dropped + queue.length);
        }
        expect(model.map(() => queue.shift())).toEqual(model);
      }),
    );
  });
});
