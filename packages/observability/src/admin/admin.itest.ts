import type { ComponentStatus } from "@myelin/kernel";
import { describe, expect, it } from "vitest";
import { silentLogger } from "../log/logger.js";
import { createProcessMetrics } from "../metrics/process-metrics.js";
import { MetricsRegistry } from "../metrics/registry.js";
import { AdminServer } from "./admin-server.js";
import { Health } from "./health.js";

async function startAdmin(pages: Record<string, () => unknown> = {}) {
  const components: ComponentStatus[] = [{ name: "bus", state: "running" }];
  const health = new Health(() => components);
  const metrics = new MetricsRegistry();
  createProcessMetrics(metrics);
  const server = new AdminServer({ host: "127.0.0.1", port: 0, health, metrics, pages, log: silentLogger });
  await server.start();
  const get = async (path: string, method = "GET") => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method });
    const text = await response.text();
    return { status: response.status, text, type: response.headers.get("content-type") };
  };
  return { components, health, server, get, [Symbol.asyncDispose]: () => server.stop() };
}

describe("the admin port", () => {
  it("is ready from the end of the start to the beginning of the stop", async () => {
    await using admin = await startAdmin();
    const statuses = async () => [(await admin.get("/startupz")).status, (await admin.get("/readyz")).status];
    expect(await statuses()).toEqual([503, 503]);
    admin.health.markStarted();
    expect(await statuses()).toEqual([200, 200]);
    admin.health.markStopping();
    expect(await statuses()).toEqual([200, 503]);
    expect((await admin.get("/livez")).status).toBe(200);
  });

  it("stays ready while degraded, is not ready with a failed component, and names both", async () => {
    await using admin = await startAdmin();
    admin.health.markStarted();
    admin.components[0] = { name: "bus", state: "degraded", reason: "NATS is away" };
    const degraded = await admin.get("/readyz");
    expect([degraded.status, JSON.parse(degraded.text)]).toEqual([
      200,
      { status: "degraded", ready: true, started: true, components: admin.components },
    ]);
    admin.components[0] = { name: "bus", state: "failed" };
    const failed = await admin.get("/readyz");
    expect([failed.status, JSON.parse(failed.text).status]).toEqual([503, "failed"]);
  });

  it("serves the metrics page in Prometheus format", async () => {
    await using admin = await startAdmin();
    const page = await admin.get("/metrics");
    expect(page.type).toContain("text/plain; version=0.0.4");
    expect(page.text).toMatch(/^process_resident_memory_bytes \d+$/m);
  });

  it("serves added pages and says which there are", async () => {
    await using admin = await startAdmin({ "/resources": async () => ["a"] });
    expect((await admin.get("/resources?x=1")).text).toBe('["a"]\n');
    const missing = await admin.get("/toString");
    expect([missing.status, missing.text]).toEqual([404, expect.stringContaining("/resources")]);
  });

  it("answers 500 with a code when a page throws, 405 to POST, and nothing but headers to HEAD", async () => {
    await using admin = await startAdmin({
      "/broken": () => {
        throw new Error("bug");
      },
    });
    const broken = await admin.get("/broken");
    expect([broken.status, JSON.parse(broken.text).error.code]).toEqual([500, "internal.unexpected"]);
    expect((await admin.get("/livez", "POST")).status).toBe(405);
    expect((await admin.get("/livez", "HEAD")).text).toBe("");
  });

  it("says in one sentence that its port is taken", async () => {
    await using admin = await startAdmin();
    const options = { host: "127.0.0.1", port: admin.server.port as number, log: silentLogger };
    const second = new AdminServer({ ...options, health: admin.health, metrics: new MetricsRegistry() });
    await expect(second.start()).rejects.toMatchObject({ code: "setup.port_in_use" });
    await second.stop();
  });
});
