import { describe, expect, it } from "vitest";
import { AppError } from "../errors/app-error.js";
import { FakeClock } from "../time/fake-clock.js";
import { CallTable } from "./call-table.js";

function table(maxPending = 2) {
  const clock = new FakeClock();
  return { clock, calls: new CallTable<string>({ clock, maxPending, what: "the peer" }) };
}

describe("CallTable", () => {
  it("gives each call a number of its own and its own answer", async () => {
    const { calls, clock } = table();
    const ids: number[] = [];
    const first = calls.call(100, (id) => ids.push(id));
    const second = calls.call(100, (id) => ids.push(id));
    expect(calls.answer(ids[1]!, "b")).toBe(true);
    expect(calls.answer(ids[0]!, "a")).toBe(true);
    expect(await Promise.all([first, second])).toEqual(["a", "b"]);
    expect(calls.answer(ids[0]!, "again")).toBe(false);
    expect(clock.pendingTimers).toBe(0);
  });

  it("refuses more calls than may wait", async () => {
    const { calls } = table(1);
    const first = calls.call(100, () => undefined);
    await expect(calls.call(100, () => undefined)).rejects.toMatchObject({ code: "queue.full" });
    calls.failAll(new AppError("rpc.unavailable", "gone"));
    await expect(first).rejects.toMatchObject({ code: "rpc.unavailable" });
    expect(calls.size).toBe(0);
  });

  it("forgets a call that could not be asked", async () => {
    const { calls } = table(1);
    const asked = calls.call(100, () => {
      throw new AppError("contract.frame_too_large", "too large");
    });
    await expect(asked).rejects.toMatchObject({ code: "contract.frame_too_large" });
    expect(calls.size).toBe(0);
  });

  it("gives up at the deadline, and a late answer finds nobody", async () => {
    const { calls, clock } = table();
    let id = 0;
    const call = calls.call(100, (n) => {
      id = n;
    });
    const caught = expect(call).rejects.toMatchObject({ code: "request.timeout" });
    await clock.advance(100);
    await caught;
    expect(calls.answer(id, "late")).toBe(false);
  });
});
