import { control, Protocol } from "@myelin/contract";
import { FakeClock } from "@myelin/kernel";
import { describe, expect, it } from "vitest";
import { WillKeeper } from "./will-keeper.js";

const client = (deviceId: string, tenant = "") => ({
  identity: { tenant, deviceId, user: "" },
  number: 1,
  protocol: Protocol.MQTT,
  address: "10.0.0.1",
});
const ann = client("ann");
const bob = client("bob");

function keeper() {
  const clock = new FakeClock();
  const published: string[] = [];
  const wills = new WillKeeper(clock, (_owner, { topic }) => published.push(topic));
  const keep = (who: typeof ann, delayMs: number): void =>
    wills.keep(who, delayMs, control.KeptWill.fromPartial({ topic: who.identity.deviceId }));
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
    wills.back(ann.identity, true);
    await wills.stop();
    expect(published).toEqual(["ann"]);
  });

  it("is forgotten when its client is back, and that of no other", async () => {
    const { clock, published, keep, wills } = keeper();
    keep(ann, 5_000);
    keep(bob, 5_000);
    wills.back(ann.identity, false);
    await clock.advance(10_000);
    expect(published).toEqual(["bob"]);
  });

  it("is due when its client begins anew", async () => {
    const { clock, published, keep, wills } = keeper();
    keep(ann, 5_000);
    wills.back(ann.identity, true);
    expect(published).toEqual(["ann"]);
    await clock.advance(10_000);
    expect(published).toEqual(["ann"]);
  });

  it("of another tenant's client of the same name is another one", async () => {
    const { clock, published, keep, wills } = keeper();
    keep(ann, 5_000);
    wills.back(client("ann", "t").identity, false);
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
