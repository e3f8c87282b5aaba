import { createHeartbeat } from "@myelin/bus";
import { control, subjects } from "@myelin/contract";
import { waitFor } from "@myelin/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Rig, startRig } from "../../../../test/listener-rig.js";

const SINCE_US = Date.UTC(2026, 0, 2) * 1_000;
let rig: Rig;

beforeAll(async () => {
  rig = await startRig({ http: { web: {} } });
  const { bus } = rig;
  bus.subscribe(subjects.appAnnounceSync(), () => {
    const plans = { app: "plans", instance: "one~1", healthy: true, serves: ["plan"] };
    const load = { sinceUs: SINCE_US, inFlightEnvelopes: 7, openRequests: 2 };
    const message = { bridge: "bridge-0", instances: [{ ...plans, ...load }] };
    bus.publish(
      subjects.appAnnounce(),
      control.AppAnnouncement.encode(control.AppAnnouncement.fromPartial(message)).finish(),
    );
  });
});
afterAll(() => rig[Symbol.asyncDispose]());

async function get(path: string) {
  const response = await fetch(`http://127.0.0.1:${rig.port("web")}/api/v1/${path}`);
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

describe("apps", () => {
  it("are listed with what they answer, load, health and since when", async () => {
    const { status, body } = await get("apps");
    expect(status).toBe(200);
    const instance = {
      bridge: "bridge-0",
      instance: "one~1",
      healthy: true,
      draining: false,
      serves: ["plan"],
    };
    const load = { since: "2026-01-02T00:00:00.000Z", inFlight: 7, openRequests: 2 };
    const away = { remembered: false, subscriptions: [], waitingBatches: 0 };
    expect(body).toEqual({ apps: [{ app: "plans", ...away, instances: [{ ...instance, ...load }] }] });
    expect((await get("apps/plans")).body).toMatchObject({ app: "plans" });
    expect(await get("apps/nobody")).toMatchObject({ status: 404, body: { code: "app.unknown" } });
  });

  it("are in the OpenAPI document", async () => {
    const { body } = await get("openapi.json");
    expect(Object.keys(body.paths as object)).toEqual(
      expect.arrayContaining(["/api/v1/agents", "/api/v1/apps", "/api/v1/apps/{app}"]),
    );
  });
});

describe("agents", () => {
  it("are listed with their drivers, devices, health and since when", async () => {
    const report = {
      node: "press",
      serves: ["modbus"],
      devices: 3,
      reachableDevices: 2,
      lines: 2,
      linesDown: 1,
    };
    const agent = () => control.AgentReport.fromPartial({ ...report, sinceUs: SINCE_US });
    const heartbeat = createHeartbeat(rig.bus, { service: "hardware-agent", version: "1", agent });
    await heartbeat.start(AbortSignal.timeout(10_000));
    try {
      const listed = await waitFor(
        async () => ((await get("agents")).body as { readonly agents: readonly unknown[] }).agents[0],
        { what: "the agent", deadlineMs: 20_000 },
      );
      const words = { version: "1", draining: false, healthy: false, since: "2026-01-02T00:00:00.000Z" };
      expect(listed).toEqual({ ...report, ...words, agent: "listener-0" });
    } finally {
      await heartbeat.stop();
    }
  });
});
