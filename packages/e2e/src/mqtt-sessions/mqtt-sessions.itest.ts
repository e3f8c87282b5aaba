import { expect, test } from "vitest";
import { Sender, Subscriber, startBox } from "../support/index.js";

/** Messages of each sender that are acknowledged before a kill, and after it. */
const BETWEEN = 60;
const CATCH_UP_MS = 60_000;

// What waits for a client that is away is bounded; here nothing may be dropped for that.
const ROOMY = {
  MYELIN_DISPATCHER__SESSIONS__MAX_QUEUED_MESSAGES: "1000000",
  MYELIN_DISPATCHER__SESSIONS__MAX_QUEUED_BYTES: "1GiB",
};

test.each([
  { workers: 1, killed: "nats-server, nats-server" },
  { workers: 1, killed: "core, core" },
  { workers: 1, killed: "listener-0, listener-0" },
  { workers: 1, killed: "listener-0 + core, listener-0 + core" },
  // Whose listener is killed comes back to the other one.
  { workers: 2, killed: "listener-0, listener-1, listener-0 + core" },
])(
  "sessions on $workers listeners lose nothing that was acknowledged, keep the order, and have QoS 2 once while under load are killed: $killed",
  async ({ workers, killed }) => {
    await using box = await startBox({ workers, env: ROOMY });
    await using reader1 = await Subscriber.open(box, "reader-1", "load/1", 1);
    await using reader2 = await Subscriber.open(box, "reader-2", "load/2", 2);
    await using sender1 = await Sender.open(box, "press-1", "load/1", 1);
    await using sender2 = await Sender.open(box, "press-2", "load/2", 2);
    for (const victims of killed.split(", ")) {
      await Promise.all([sender1.progress(BETWEEN), sender2.progress(BETWEEN)]);
      await Promise.all(victims.split(" + ").map((victim) => box.kill(victim)));
      await Promise.all([sender1.progress(BETWEEN), sender2.progress(BETWEEN)]);
    }
    await Promise.all([sender1.finish(), sender2.finish()]);
    await Promise.all([reader1.have(sender1.sent, CATCH_UP_MS), reader2.have(sender2.sent, CATCH_UP_MS)]);
    expect(reader1.late).toEqual([]);
    expect(reader2.late).toEqual([]);
    expect(reader2.doubles).toEqual([]);
  },
  180_000,
);
