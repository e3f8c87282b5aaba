import { AppError, FakeClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { describe, expect, it } from "vitest";
import { EventDoor } from "./event-door.js";

const SIDE = { maxBytes: 1_000, messages: 0, isOpen: true };

function setUp() {
  const clock = new FakeClock();
  const bytes = { events: 0, overflow: 0, unrouted: 0 };
  const calls = { looks: 0, set: [] as boolean[] };
  let isOpen = true;
  let isAway = false;
  const door = new EventDoor({
    clock,
    log: silentLogger,
    ports: {
      room: async () => {
        calls.looks++;
        if (isAway) throw new AppError("bus.disconnected", "away");
        return {
          events: { bytes: bytes.events, messages: 0, maxBytes: 8_000, isOpen },
          overflow: { ...SIDE, bytes: bytes.overflow },
          unrouted: { ...SIDE, bytes: bytes.unrouted },
        };
      },
      setOpen: async (given) => {
        isOpen = given;
        calls.set.push(given);
      },
      mostWaiting: async () => [],
    },
  });
  const at = async (change: Partial<typeof bytes>) => {
    Object.assign(bytes, change);
    await clock.advance(1_000);
    return door.isOpen;
  };
  return {
    clock,
    door,
    calls,
    at,
    reopenedByOthers: () => {
      isOpen = true;
    },
    away: (given: boolean) => {
      isAway = given;
    },
  };
}

describe("EventDoor", () => {
  it("asks nothing while nothing is put aside, and looks at once when much is", async () => {
    const { door, calls, clock } = setUp();
    await door.start();
    await clock.advance(60_000);
    expect(calls.looks).toBe(1);
    door.stored("unrouted", 40);
    await clock.advance(0);
    expect(calls.looks).toBe(2);
    door.stored("unrouted", 1);
    await clock.advance(999);
    expect(calls.looks).toBe(2);
    await clock.advance(60_000);
    expect(calls.looks).toBe(3);
    await door.stop();
    expect(clock.pendingTimers).toBe(0);
  });

  it.each(["overflow", "unrouted"] as const)(
    "closes before %s is full and opens with some room",
    async (side) => {
      const { door, calls, at } = setUp();
      await door.start();
      door.stored(side, 1);
      expect(await at({ [side]: 740 })).toBe(true);
      door.stored(side, 1);
      expect(await at({ [side]: 750 })).toBe(false);
      expect(await at({ [side]: 660 })).toBe(false);
      expect(await at({ [side]: 640 })).toBe(true);
      expect(calls.set).toEqual([false, true]);
      await door.stop();
    },
  );

  it("counts what still lies in the event stream, where it may come to a side stream", async () => {
    const { door, at } = setUp();
    await door.start();
    expect(await at({ events: 7_000 })).toBe(true);
    door.stored("overflow", 1);
    expect(await at({ overflow: 200 })).toBe(false);
    expect(await at({ events: 650 })).toBe(false);
    expect(await at({ events: 500 })).toBe(true);
    await door.stop();
  });

  it("closes again what others have opened, and finds its answer after NATS was away", async () => {
    const { door, calls, at, reopenedByOthers, away } = setUp();
    await door.start();
    door.stored("overflow", 1);
    expect(await at({ overflow: 800 })).toBe(false);
    reopenedByOthers();
    expect(await at({})).toBe(false);
    expect(calls.set).toEqual([false, false]);
    away(true);
    expect(await at({ overflow: 0 })).toBe(false);
    away(false);
    expect(await at({})).toBe(true);
    await door.stop();
  });
});
