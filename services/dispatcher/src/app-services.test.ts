import type { Resource } from "@myelin/config";
import { FakeClock } from "@myelin/kernel";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AppServices } from "./app-services.js";

type Instance = { eligible: boolean; serves: readonly string[] };

let clock: FakeClock;
let here: Record<string, Instance[]>;
let services: AppServices;

beforeEach(async () => {
  clock = new FakeClock();
  here = {};
  services = new AppServices((app) => here[app] ?? [], clock);
  await services.start();
});
afterEach(() => services.stop());

const expecting = (spec: Partial<Resource<"AppService">["spec"]>): Resource<"AppService"> => ({
  apiVersion: "myelin.dev/v1alpha1",
  kind: "AppService",
  metadata: { name: "plans" },
  spec: { instances: 1, subscribes: [], publishes: [], methods: {}, ...spec },
});
const said = () => services.conditions().map(({ type, status, reason }) => `${type} ${status} ${reason}`);
const method = { timeout: 5_000, repeatable: false };

describe("an AppService", () => {
  it("is available when enough healthy instances are there, since they are", async () => {
    services.apply([expecting({ instances: 2, app: "planner" })]);
    expect(said()).toEqual(["Available false Away", "Ready false Away"]);
    const awaySince = services.conditions()[0]!.sinceMs;
    here.planner = [
      { eligible: true, serves: [] },
      { eligible: false, serves: [] },
    ];
    await clock.advance(500);
    expect(said()).toEqual(["Available false TooFewHealthy", "Ready false TooFewHealthy"]);
    expect(services.conditions()[0]).toMatchObject({
      sinceMs: awaySince,
      message: "1 of 2 instances of planner are healthy; 2 are connected",
    });
    here.planner = [
      { eligible: true, serves: [] },
      { eligible: true, serves: [] },
    ];
    await clock.advance(500);
    expect(said()).toEqual(["Available true Healthy", "Ready true Healthy"]);
    expect(services.conditions()[0]!.sinceMs).toBe(awaySince + 1_000);
    await clock.advance(5_000);
    expect(services.conditions()[0]!.sinceMs).toBe(awaySince + 1_000);
  });

  it("is not ready while a method that is expected of it has nobody healthy who answers", async () => {
    here.plans = [
      { eligible: true, serves: ["plan"] },
      { eligible: false, serves: ["undo"] },
    ];
    services.apply([expecting({ methods: { plan: method, undo: method } })]);
    expect(said()).toEqual(["Available true Healthy", "Ready false MethodMissing"]);
    expect(services.conditions()[1]!.message).toBe("no healthy instance of plans answers undo");
  });

  it("that is expected no more is not spoken of", () => {
    services.apply([expecting({})]);
    services.apply([]);
    expect(services.conditions()).toEqual([]);
  });
});
