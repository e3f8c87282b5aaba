import { FakeClock } from "@myelin/kernel";
import { describe, expect, it } from "vitest";
import { WillKeeper } from "./will-keeper.js";

const ann = { tenant: "", deviceId: "ann", user: "" };
const bob = { tenant: "", deviceId: "bob", user: "" };

function keeper() {
  const clock = new FakeClock();
  const published: string[] = [];
  const wills = new WillKeeper(clock);
  const keep = (who: typeof ann, delayMs: number, text = who.deviceId): void =>
    wills.keep(who, delayMs, () => published.push(text));
  return { clock, published, wills, keep };
}

describe("a will that waits", () => {
  it("is published once, when its time has come", async () => {
    const { clock, published, keep, wills } = keeper();
    keep(ann, 5_000);
    await clock.advance(4_999);
    expect(published).toEqual([]);
    await clock.advance(1);
    expect(published).toEqual(["ann"]);
    wills.back(ann, true);
    await wills.stop();
    expect(published).toEqual(["ann"]);
  });

  it("is forgotten when its client is back, and that of no other", async () => {
    const { clock, published, keep, wills } = keeper();
    keep(ann, 5_000);
    keep(bob, 5_000);
    wills.back(ann, false);
    await clock.advance(10_000);
    expect(published).toEqual(["bob"]);
  });

  it("is due when its client begins anew", async () => {
    const { clock, published, keep, wills } = keeper();
    keep(ann, 5_000);
    wills.back(ann, true);
    expect(published).toEqual(["ann"]);
    await clock.advance(10_000);
    expect(published).toEqual(["ann"]);
  });

  it("of another tenant's client of the same name is another one", async () => {
    const { clock, published, keep, wills } = keeper();
    keep(ann, 5_000);
    wills.back({ ...ann, tenant: "t" }, false);
    await clock.advance(5_000);
    expect(published).toEqual(["ann"]);
  });

  it("is published when the listener stops", async () => {
    const { published, keep, wills } = keeper();
    keep(ann, 5_000);
    keep(bob, 5_000);
    await wills.stop();
    expect(published).toEqual(["ann", "bob"]);
    expect(wills.size).toBe(0);
  });
});
