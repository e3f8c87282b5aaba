import { describe, expect, it } from "vitest";
import { bridgeConditions, bridgeFigures } from "./conditions.js";

const lastError = { code: "auth.not_authorized", message: "the broker refuses the password", atMs: 2 };

describe("the condition of a bridge", () => {
  it("is ready while it is connected, also when it had trouble before", () => {
    const records = [{ name: "hub", state: "connected", sinceMs: 3, lastError }] as const;
    expect(bridgeConditions(records, new Map([["hub", 9]]))).toEqual([
      {
        kind: "Bridge",
        name: "hub",
        type: "Ready",
        status: true,
        reason: "connected",
        message: "",
        generation: 9,
        sinceMs: 3,
      },
    ]);
  });

  it("says why it waits for the next try", () => {
    const [waiting, connecting] = bridgeConditions(
      [
        { name: "hub", state: "waiting", sinceMs: 3, lastError },
        { name: "new", state: "connecting", sinceMs: 4, lastError: undefined },
      ],
      new Map(),
    );
    expect(waiting).toMatchObject({ status: false, reason: lastError.code, message: lastError.message });
    expect(connecting).toMatchObject({ status: false, reason: "connecting", message: "" });
  });
});

describe("the figures of a bridge", () => {
  const counters = {
    connects: 1,
    failures: 0,
    messages: { in: 5, out: 6 },
    dropped: new Map([
      ["in,unmapped", 1],
      ["out,expired", 2],
    ]),
  };

  it("hold what waits in the outbox, for how long the oldest has, and all that was dropped", () => {
    const outbox = { messages: 3, bytes: 90, oldestAtMs: 2_500, dropped: 4 };
    expect(bridgeFigures([{ name: "hub", counters, outbox }], 10_000)).toEqual([
      {
        kind: "Bridge",
        name: "hub",
        figures: {
          inMessages: 5,
          outMessages: 6,
          queuedMessages: 3,
          queuedBytes: 90,
          oldestQueuedSeconds: 7.5,
          droppedMessages: 7,
        },
      },
    ]);
  });

  it("leave out what nobody can tell at the moment", () => {
    const [of] = bridgeFigures([{ name: "hub", counters, outbox: undefined }], 0);
    expect(of?.figures).toEqual({ inMessages: 5, outMessages: 6, droppedMessages: 3 });
  });
});
