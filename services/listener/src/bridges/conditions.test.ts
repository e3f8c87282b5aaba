import { describe, expect, it } from "vitest";
import { bridgeConditions } from "./conditions.js";

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
