import { expect, test } from "vitest";
import { flood, floodNumbers, startApp, startBox } from "../support/index.js";

const EVENTS = 4_000;
const PER_REQUEST = 500;
// Together more than what a target may hold in memory, so that the rest must go to its overflow.
const EVENT_BYTES = 4_000;

test("an app that sleeps holds up no other; when it wakes it gets all of its events, in order", async () => {
  await using box = await startBox();
  await using fast = await startApp(box, { app: "fast", filters: ["flood"] });
  await using slow = await startApp(box, {
    app: "slow",
    filters: ["flood"],
    asleep: true,
    credit: { messages: 100, bytes: 1 << 20 },
  });

  for (let from = 0; from < EVENTS; from += PER_REQUEST) {
    expect(await flood(box, "press-1", from, PER_REQUEST, EVENT_BYTES)).toMatchObject({
      status: 202,
      accepted: PER_REQUEST,
    });
  }
  const all = Array.from({ length: EVENTS }, (_, n) => n);
  expect(floodNumbers(await fast.receivedTexts(EVENTS))).toEqual(all);
  expect(await slow.received()).toEqual([]);
  const queued = (await box.ledger()).rows.find(
    ({ hop, target }) => hop === "fanout" && target === "app:slow",
  );
  expect(queued).toMatchObject({ received: EVENTS, dropped: {}, unaccounted: 0 });

  slow.wake();
  expect(floodNumbers(await slow.receivedTexts(EVENTS, 30_000))).toEqual(all);
  expect((await box.settledLedger()).unaccounted).toBe(0);
});
