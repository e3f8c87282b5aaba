import type { sys } from "@myelin/contract";
import { describe, expect, it } from "vitest";
import { LoadAverages } from "./sys-values.js";

const MINUTE_MS = 60_000;

function total(publishReceived: number): sys.SysFigures {
  return {
    listener: "",
    incarnation: 1,
    uptimeSeconds: 0,
    clientsConnected: 0,
    clientsMaximum: 0,
    connects: 0,
    messagesReceived: 0,
    messagesSent: 0,
    bytesReceived: 0,
    bytesSent: 0,
    publishReceived,
    publishDropped: 0,
    subscriptions: 0,
  } as sys.SysFigures;
}

const received = (loads: LoadAverages): number[] =>
  [1, 5, 15].map((minutes) =>
    Number(new Map(loads.values()).get(`load/publish/received/${minutes}min`) ?? Number.NaN),
  );

describe("the load averages", () => {
  it("begin at nothing, whatever was counted before", () => {
    const loads = new LoadAverages();
    loads.add(total(1_000_000), 0);
    expect(received(loads)).toEqual([0, 0, 0]);
  });

  it("come to what there is per minute, those of short spans first", () => {
    const loads = new LoadAverages();
    for (let i = 0; i <= 60; i++) loads.add(total(i * 100), i * 10_000);
    const [one, five, fifteen] = received(loads) as [number, number, number];
    expect(one).toBeCloseTo(600, 0);
    expect(five).toBeCloseTo(600 * (1 - Math.exp(-2)), 0);
    expect(fifteen).toBeCloseTo(600 * (1 - Math.exp(-10 / 15)), 0);
  });

  it("fall again when nothing comes, also when a listener with its count is gone", () => {
    const loads = new LoadAverages();
    loads.add(total(0), 0);
    loads.add(total(600), MINUTE_MS);
    const [before] = received(loads) as [number];
    loads.add(total(100), 2 * MINUTE_MS);
    const [after] = received(loads) as [number];
    expect(after).toBeCloseTo(before * Math.exp(-1), 1);
  });

  it("say nothing of a clock that stands", () => {
    const loads = new LoadAverages();
    loads.add(total(0), 5);
    loads.add(total(10), 5);
    expect(received(loads)).toEqual([0, 0, 0]);
  });
});
