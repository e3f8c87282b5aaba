/** Shadows as devices and operators meet them: over HTTP, server-sent events, WebSocket and MQTT. */
import { waitFor } from "@myelin/testkit";
import mqtt from "mqtt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { type Ground, startGround } from "./ground.js";

const DEADLINE_MS = 20_000;
let ground: Ground;
beforeAll(async () => {
  ground = await startGround();
  await waitFor(async () => (await ask("GET", "/ready/shadow")).status === 404, {
    what: "the owners of shadows",
    deadlineMs: DEADLINE_MS,
  });
});
afterAll(() => ground[Symbol.asyncDispose]());

type Body = Record<string, unknown> & { version?: number; code?: string };

async function ask(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  const response = await fetch(`${ground.api(1)}/devices${path}`, {
    method,
    headers: { ...(body !== undefined && { "content-type": "application/json" }), ...headers },
    ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const isJson = (response.headers.get("content-type") ?? "").includes("json");
  const etag = response.headers.get("etag") ?? "";
  return { status: response.status, etag, text, body: (isJson ? JSON.parse(text) : {}) as Body };
}

const wish = (desired: unknown) => ({ state: { desired } });

describe("a shadow over HTTP", () => {
  it("is made, read, merged, replaced and deleted", async () => {
    const made = await ask("PUT", "/b1/shadow", wish({ t: 21, o: { a: 1, b: 2 } }));
    expect(made).toMatchObject({
      status: 200,
      etag: '"1"',
      body: {
        state: { desired: { t: 21 }, delta: { t: 21 } },
        metadata: { desired: { t: { timestamp: expect.any(Number) } } },
        condition: { state: "unreachable", since: expect.any(String) },
      },
    });
    const merge = { "content-type": "application/merge-patch+json" };
    const patched = await ask("PATCH", "/b1/shadow", '{"state":{"desired":{"o":{"a":null},"x":[1]}}}', merge);
    expect(patched.body).toMatchObject({ version: 2, state: { desired: { t: 21, o: { b: 2 }, x: [1] } } });
    const replaced = await ask("PUT", "/b1/shadow", wish({ y: 1 }));
    expect(replaced.body).toMatchObject({ version: 3, state: { desired: { y: 1 } } });
    expect(await ask("GET", "/b1/shadow", undefined, { "if-none-match": '"3"' })).toMatchObject({
      status: 304,
    });
    expect((await ask("DELETE", "/b1/shadow")).status).toBe(204);
    expect(await ask("GET", "/b1/shadow")).toMatchObject({ status: 404, body: { code: "shadow.unknown" } });
    expect((await ask("DELETE", "/b1/shadow")).status).toBe(404);
  });

  it("is changed under the conditions of the request alone", async () => {
    const none = { "if-none-match": "*" };
    expect((await ask("PUT", "/b2/shadow", wish({ a: 1 }), none)).status).toBe(200);
    expect((await ask("PUT", "/b2/shadow", wish({ a: 2 }), none)).status).toBe(412);
    const match = { "if-match": '"1"' };
    const both = await Promise.all([1, 2].map((b) => ask("PATCH", "/b2/shadow", wish({ b }), match)));
    expect(both.map(({ status }) => status).sort()).toEqual([200, 412]);
    expect((await ask("PATCH", "/b2/shadow", { ...wish({ c: 1 }), version: 1 })).status).toBe(409);
    expect((await ask("DELETE", "/b2/shadow", undefined, match)).status).toBe(412);
    expect((await ask("PATCH", "/b2/shadow", wish({ c: 1 }), { "if-match": '"1", "2"' })).status).toBe(200);
    expect((await ask("PUT", "/nobody/shadow", wish({}), { "if-match": "*" })).status).toBe(412);
  });

  it.each([
    ["{", 400, "protocol.malformed", undefined],
    [{ state: { reported: { t: 1 } } }, 400, "shadow.invalid", "state.reported"],
    [{ state: {} }, 400, "shadow.invalid", "state.desired"],
    [{ state: { desired: 7 } }, 400, "shadow.invalid", "desired"],
    [{ state: { desired: { a: [null] } } }, 400, "shadow.invalid", "desired.a[0]"],
    ['{"state":{"desired":{"n":12345678901234567890}}}', 400, "shadow.invalid", "desired.n"],
    [{ state: { desired: { t: "x".repeat(70_000) } } }, 413, "shadow.too_large", undefined],
  ])("refuses %.30j with path and rule", async (body, status, code, path) => {
    const { body: problem, ...answer } = await ask("PUT", "/b3/shadow", body);
    expect(answer.status).toBe(status);
    expect(problem).toMatchObject({
      code,
      ...(path !== undefined && { detail: expect.stringContaining(path) }),
    });
  });

  it("has others beside it by name", async () => {
    expect((await ask("PUT", "/b4/shadows/fan:1", wish({ speed: 2 }))).status).toBe(200);
    expect((await ask("PUT", "/b4/shadow", wish({ t: 1 }))).status).toBe(200);
    expect((await ask("GET", "/b4/shadows")).body).toEqual({ classic: true, names: ["fan:1"] });
    expect((await ask("GET", "/b4/shadows/fan:1")).body).toMatchObject({ state: { desired: { speed: 2 } } });
    expect((await ask("PUT", "/b4/shadows/a%20b", wish({}))).status).toBe(400);
  });

  it("is followed by server-sent events, from what is there on", async () => {
    const ending = new AbortController();
    const response = await fetch(`${ground.api(0)}/devices/b5/shadow`, {
      headers: { accept: "text/event-stream" },
      signal: ending.signal,
    });
    let text = "";
    const reading = (async () => {
      for await (const chunk of response.body!) text += Buffer.from(chunk).toString();
    })().catch(() => undefined);
    const seen = (what: string) => waitFor(() => text.includes(what), { what, deadlineMs: DEADLINE_MS });
    await seen('event: gone\nid: 0\ndata: {"gone":true}');
    await ask("PUT", "/b5/shadow", wish({ t: 1 }));
    await seen("event: shadow\nid: 1\ndata: ");
    await ask("PATCH", "/b5/shadow", wish({ t: 2 }));
    await seen('"desired":{"t":2}');
    ending.abort();
    await reading;
  });

  it("stands in the OpenAPI document", async () => {
    const { paths } = (await (await fetch(`${ground.api(0)}/openapi.json`)).json()) as { paths: object };
    expect(Object.keys(paths)).toEqual(
      expect.arrayContaining([
        "/api/v1/devices/{deviceId}/shadow",
        "/api/v1/devices/{deviceId}/shadows/{shadow}",
        "/api/v1/devices/{deviceId}/shadows",
      ]),
    );
  });
});

describe("a device", () => {
  it("is told over MQTT what is desired, as soon as it is there, and follows", async () => {
    await ask("PUT", "/m1/shadow", wish({ on: true }));
    const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${ground.port(0, "TCP")}`, {
      clientId: "m1",
      protocolVersion: 5,
      reconnectPeriod: 0,
    });
    try {
      const told: string[] = [];
      client.on("message", (topic, payload) => told.push(`${topic} ${payload}`));
      await client.subscribeAsync(["$aws/things/m1/shadow/+/+", "$aws/things/m1/shadow/+/+"], { qos: 1 });
      const got = (what: RegExp) =>
        waitFor(() => told.some((one) => what.test(one)), { what: String(what), deadlineMs: DEADLINE_MS });
      await got(/update\/delta .*"state":\{"on":true\}/);
      await client.publishAsync("$aws/things/m1/shadow/get", "", { qos: 1 });
      await got(/get\/accepted .*"delta":\{"on":true\}/);
      await client.publishAsync("$aws/things/m1/shadow/update", '{"state":{"reported":{"on":true}}}', {
        qos: 0,
      });
      await got(/update\/accepted .*"reported":\{"on":true\}/);
      await got(/update\/documents .*"previous".*"current"/);
      expect((await ask("GET", "/m1/shadow")).body).toMatchObject({ condition: { state: "synced" } });
      await client.publishAsync("$aws/things/m1/shadow/update", "[]", { qos: 1 });
      await got(/update\/rejected .*"code":400/);
      // Another device's shadow is not its to speak for.
      const other = client.publishAsync("$aws/things/m2/shadow/update", '{"state":{"reported":{"on":1}}}', {
        qos: 1,
      });
      await expect(other).rejects.toMatchObject({ code: 0x87 });
      await client.publishAsync("$aws/things/m1/shadow/delete", "", { qos: 1 });
      await got(/delete\/accepted /);
      expect((await ask("GET", "/m2/shadow")).status).toBe(404);
    } finally {
      await client.endAsync(true);
    }
  });

  it("is told the same on its WebSocket", async () => {
    const ws = new WebSocket(`ws://127.0.0.1:${ground.port(1, "WebSocket")}/api/v1/devices/w1/ws`);
    const told: { path: string; payload: { state?: object; code?: number } }[] = [];
    ws.on("message", (data) => told.push(JSON.parse(String(data))));
    await new Promise((resolve) => ws.once("open", resolve));
    const got = async (path: string) => {
      await waitFor(() => told.some((one) => one.path === path), { what: path, deadlineMs: DEADLINE_MS });
      return told.find((one) => one.path === path)!.payload;
    };
    const base = "$aws/things/w1/shadow";
    ws.send(JSON.stringify({ path: `${base}/update`, payload: { state: { reported: { t: 20 } } }, id: "1" }));
    expect(await got(`${base}/update/accepted`)).toMatchObject({ state: { reported: { t: 20 } } });
    await ask("PATCH", "/w1/shadow", wish({ t: 21 }));
    expect(await got(`${base}/update/delta`)).toMatchObject({ state: { t: 21 } });
    ws.close();
  });

  it("is seen by others over WebSocket, live", async () => {
    const ws = new WebSocket(`ws://127.0.0.1:${ground.port(1, "WebSocket")}/api/v1/devices/panel/ws`);
    const told: { path?: string; payload?: { current?: object } }[] = [];
    ws.on("message", (data) => told.push(JSON.parse(String(data))));
    await new Promise((resolve) => ws.once("open", resolve));
    ws.send(JSON.stringify({ subscribe: "$aws/things/+/shadow/update/documents" }));
    await waitFor(
      async () => {
        await ask("PATCH", "/seen/shadow", wish({ t: 1 }));
        return told.some(({ path }) => path === "$aws/things/seen/shadow/update/documents");
      },
      { what: "a change", deadlineMs: DEADLINE_MS },
    );
    ws.close();
  });
});
