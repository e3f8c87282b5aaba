import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PendingEvents } from "./pending-events.js";

const add = (pending: PendingEvents, sequence: number, id: string): number => {
  const bytes = Buffer.from(id);
  return pending.add(sequence, bytes, 0, bytes.length);
};

describe("PendingEvents", () => {
  it("settles up to the oldest event that still waits, in whatever order they are settled", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(40), fc.boolean()), { minLength: 1, maxLength: 200 }),
        fc.infiniteStream(fc.nat()),
        (events, picks) => {
          const pending = new PendingEvents();
          const open = new Map<number, { sequence: number; id: string; refused: boolean }>();
          const all: { sequence: number; done: boolean; refused: boolean }[] = [];
          let sequence = 0;
          events.forEach(([idLength, refused], i) => {
            sequence += 1;
            const id = `${i}-${"x".repeat(idLength)}`;
            const ordinal = add(pending, sequence, id);
            open.set(ordinal, { sequence, id, refused });
            all.push({ sequence, done: false, refused });
            while (open.size > 8 || (i === events.length - 1 && open.size > 0)) {
              const keys = [...open.keys()];
              const key = keys[picks.next().value! % keys.length]!;
              const entry = open.get(key)!;
              expect(pending.idOf(key)).toBe(entry.id);
              open.delete(key);
              all[entry.sequence - 1]!.done = true;
              pending.settle(key, entry.refused);
              const firstOpen = all.findIndex(({ done }) => !done);
              const settled = firstOpen < 0 ? all.length : firstOpen;
              expect(pending.settledSequence).toBe(settled);
              const firstRefused = all.slice(0, settled).findIndex((event) => event.refused);
              expect(pending.storedSequence).toBe(firstRefused < 0 ? settled : firstRefused);
            }
          });
          expect(pending.size).toBe(0);
        },
      ),
    );
  });

  it("acknowledges up to a refused event without an id and never past it, but past one that has an id", () => {
    const pending = new PendingEvents();
    const [first, named, after, unnamed, last] = [
      add(pending, 1, "a"),
      add(pending, 2, "b"),
      add(pending, 3, "c"),
      add(pending, 4, ""),
      add(pending, 5, "e"),
    ] as const;
    pending.settle(first, false);
    pending.settle(named, true);
    pending.settle(after, false);
    expect(pending.ackSequence).toBe(3);
    pending.settle(unnamed, true);
    expect(pending.isCounted(last)).toBe(false);
    pending.settle(last, false);
    expect([pending.ackSequence, pending.storedSequence]).toEqual([3, 1]);
  });

  it("does not count a sequence that is 0 or does not grow", () => {
    const pending = new PendingEvents();
    const counted = add(pending, 5, "a");
    const doubled = add(pending, 5, "b");
    const none = add(pending, 0, "c");
    expect([counted, doubled, none].map((ordinal) => pending.isCounted(ordinal))).toEqual([
      true,
      false,
      false,
    ]);
    for (const ordinal of [counted, doubled, none]) pending.settle(ordinal, false);
    expect(pending.settledSequence).toBe(5);
  });
});
