import { execFile } from "node:child_process";
import { connect } from "node:net";
import { promisify } from "node:util";
import { waitFor } from "@myelin/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { downlink, type Rig, startRig } from "../../../test/listener-rig.js";

const exec = promisify(execFile);
let rig: Rig;
let base: string;

beforeAll(async () => {
  rig = await startRig({
    http: {
      web: {
        maxBody: "4KiB",
        headerTimeout: "1s",
        keepAliveTimeout: "20s",
        origins: ["https://panel.example"],
      },
    },
  });
  base = `http://127.0.0.1:${rig.port("web")}/api/v1/devices`;
});
afterAll(async () => {
  await rig[Symbol.asyncDispose]();
});

const post = (path: string, body: string | Buffer, headers: Record<string, string> = {}) =>
  fetch(`${base}/${path}`, {
    method: "POST",
    body,
    headers: { "content-type": "application/json", ...headers },
  });

/** Sends bytes on a bare socket and returns what comes until the server closes. */
function raw(bytes: string | Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(rig.port("web"), "127.0.0.1", () => socket.write(bytes));
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk.toString();
    });
    socket.on("close", () => resolve(text));
    socket.on("error", reject);
  });
}

describe("a reading", () => {
  it("sent with plain curl is stored and acknowledged with 202", async () => {
    const { stdout } = await exec("curl", [
      "-s",
      "-w",
      " %{http_code}",
      "-d",
      '{"t":21.50}',
      `${base}/d1/messages/readings/curl`,
    ]);
    expect(stdout).toBe('{"accepted":1,"rejected":0} 202');
    const [seen] = await rig.messages("readings/curl", 1);
    expect(seen).toMatchObject({
      lane: "event",
      deviceId: "d1",
      text: '{"t":21.50}',
      contentType: "application/json",
      port: "web",
    });
  });

  it("goes by the telemetry lane where the query says so", async () => {
    const answer = await post("d1/messages/readings/tel?lane=telemetry", "[1,2]");
    expect(answer.status).toBe(202);
    expect(await answer.json()).toEqual({ accepted: 2, rejected: 0 });
    const seen = await rig.messages("readings/tel", 2);
    expect(seen.map(({ lane, text }) => [lane, text])).toEqual([
      ["telemetry", "1"],
      ["telemetry", "2"],
    ]);
  });

  it("of any other type keeps its bytes and its type", async () => {
    const answer = await post("d1/messages/photo", Buffer.from([0, 255, 10]), {
      "content-type": "image/x-tiny",
    });
    expect(answer.status).toBe(202);
    const [seen] = await rig.messages("photo", 1);
    expect(seen).toMatchObject({ contentType: "image/x-tiny" });
  });

  it("carries key, times, trace and headers into the envelope", async () => {
    const send = () =>
      post("d1/messages/meta", "1", {
        "idempotency-key": "k1",
        "x-myelin-source-time": "2026-01-02T03:04:05Z",
        "x-myelin-ttl": "10s",
        "x-myelin-header-site": "north",
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      });
    expect([(await send()).status, (await send()).status]).toEqual([202, 202]);
    const [first, second] = await rig.messages("meta", 2);
    const us = Date.parse("2026-01-02T03:04:05Z") * 1000;
    expect(first).toMatchObject({
      senderId: true,
      sourceTimeUs: us,
      expiresAtUs: us + 10_000_000,
      headers: [{ name: "site", value: "north" }],
      traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    });
    expect(first!.id).toEqual(second!.id);
  });

  it.each(["0.0001ms", "99999999999d", `${"9".repeat(300)}ms`])("takes %s to live", async (ttl) => {
    const answer = await post(`d1/messages/ttl/${ttl.length}`, "1", { "x-myelin-ttl": ttl });
    expect(answer.status).toBe(202);
    const [seen] = await rig.messages(`ttl/${ttl.length}`, 1);
    expect(Number.isSafeInteger(seen!.expiresAtUs)).toBe(true);
  });
});

describe("a web page", () => {
  it("of a foreign origin is refused with 403, whatever it asks for, and counted", async () => {
    const origin = "https://evil.example";
    const before = await rig.refused("http", "auth.not_authorized");
    const sent = await post("page/messages/page", "1", { origin });
    expect([sent.status, sent.headers.get("content-type")]).toEqual([403, "application/problem+json"]);
    expect(await sent.json()).toMatchObject({ status: 403, code: "auth.not_authorized" });
    expect((await fetch(`${base}/page/messages`, { headers: { origin } })).status).toBe(403);
    expect((await rig.refused("http", "auth.not_authorized")) - before).toBe(2);
    expect(rig.seen.filter(({ deviceId }) => deviceId === "page")).toEqual([]);
  });

  it.each(["http://localhost:5173", "http://[::1]", "https://panel.example"])(
    "of %s is let in",
    async (origin) => {
      expect((await post("tool/messages/page", "1", { origin })).status).toBe(202);
    },
  );
});

describe("a stream of lines", () => {
  it("is stored whole and counted", async () => {
    const lines = Array.from({ length: 5000 }, (_, i) => `{"n":${i}}`).join("\r\n");
    const answer = await post("d2/messages/many", lines, { "content-type": "application/x-ndjson" });
    expect([answer.status, await answer.json()]).toEqual([202, { accepted: 5000, rejected: 0 }]);
    const seen = await rig.messages("many", 5000);
    expect(seen.map(({ text }) => JSON.parse(text).n)).toEqual(Array.from({ length: 5000 }, (_, i) => i));
  });

  it("names the bad lines and takes the others", async () => {
    const long = `"${"x".repeat(5000)}"`;
    const body = Buffer.concat([
      Buffer.from(`1\n{bad\n\n${long}\n`),
      Buffer.from([0x22, 0xff, 0x22]),
      Buffer.from("\n2"),
    ]);
    const answer = await post("d2/messages/mixed", body, { "content-type": "application/x-ndjson" });
    expect(answer.status).toBe(207);
    expect(answer.headers.get("content-type")).toContain("application/problem+json");
    expect(await answer.json()).toMatchObject({
      accepted: 2,
      rejected: 3,
      errors: [
        { line: 2, code: "contract.bad_payload" },
        { line: 4, code: "limit.frame_too_large" },
        { line: 5, code: "contract.bad_payload" },
      ],
    });
    expect((await rig.messages("mixed", 2)).map(({ text }) => text)).toEqual(["1", "2"]);
  });
});

describe("a bad request", () => {
  it.each([
    ["no JSON", () => post("d1/messages/x", "{"), 400, "contract.bad_payload"],
    ["bad UTF-8", () => post("d1/messages/x", Buffer.from([0x22, 0xff, 0x22])), 400, "contract.bad_payload"],
    ["an empty array", () => post("d1/messages/x", "[]"), 400, "contract.bad_payload"],
    ["a wildcard in the path", () => post("d1/messages/a%2B", "1"), 400, "protocol.malformed"],
    ["NUL in the path", () => post("d1/messages/a%00", "1"), 400, "protocol.malformed"],
    ["an unknown lane", () => post("d1/messages/x?lane=fast", "1"), 400, "protocol.malformed"],
    ["a device id with control characters", () => post("d%01/messages/x", "1"), 400, "protocol.malformed"],
    [
      "a source time that is none",
      () => post("d1/messages/x", "1", { "x-myelin-source-time": "noon" }),
      400,
      "protocol.malformed",
    ],
    [
      "another authorization scheme",
      () => post("d1/messages/x", "1", { authorization: "Digest x" }),
      401,
      "auth.bad_credentials",
    ],
    ["a body beyond the bound", () => post("d1/messages/x", "1".repeat(5000)), 413, "limit.frame_too_large"],
    ["an unknown path", () => fetch(`${base}/d1/nothing`), 404, "route.not_found"],
    [
      "another method",
      () => fetch(`${base}/d1/messages/x`, { method: "DELETE" }),
      405,
      "protocol.unsupported",
    ],
    [
      "a command for a device that is away",
      () => post("nobody/commands/on", "1"),
      503,
      "request.no_responder",
    ],
  ])("with %s gets its problem", async (_, send, status, code) => {
    const answer = await send();
    expect([answer.status, answer.headers.get("content-type")?.split(";")[0]]).toEqual([
      status,
      "application/problem+json",
    ]);
    expect(await answer.json()).toMatchObject({ status, code, type: `urn:myelin:error:${code}` });
  });

  it.each([
    ["bytes that are no HTTP", "\0\x01\x02 nonsense\r\n\r\n", "HTTP/1.1 400"],
    ["headers beyond the bound", `GET / HTTP/1.1\r\nx: ${"y".repeat(20_000)}\r\n\r\n`, "HTTP/1.1 431"],
    [
      "a length of 4 GB",
      "POST /api/v1/devices/d/messages/x HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 4294967295\r\n\r\n",
      "HTTP/1.1 413",
    ],
    ["headers that never end", "GET / HTTP/1.1\r\nhost:", "HTTP/1.1 408"],
    ["no host", "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400"],
    ["two hosts", "GET / HTTP/1.1\r\nhost: a\r\nHost: b\r\n\r\n", "HTTP/1.1 400"],
    ["a tunnel", "CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n", "HTTP/1.1 405"],
  ])("of %s is answered and closed", async (_, bytes, status) => {
    const answer = await raw(bytes);
    expect(answer).toContain(status);
    expect(answer).toContain("application/problem+json");
  });
});

describe("a device that fetches", () => {
  it("gets a message that comes while it waits", async () => {
    const poll = fetch(`${base}/poller/messages?wait=20s`);
    await waitFor(
      async () =>
        (await downlink(rig, "poller", { path: "devices/poller/display", payload: '{"a":1}' })).code ===
        undefined,
      {
        what: "the device",
      },
    );
    const answer = await poll;
    expect(await answer.json()).toMatchObject([{ path: "devices/poller/display" }]);
  });

  it("gets 204 when nothing comes", async () => {
    expect((await fetch(`${base}/poller2/messages?wait=1ms`)).status).toBe(204);
  });

  it("gets commands as server-sent events", async () => {
    rig.serveDownlinks();
    const stop = new AbortController();
    const stream = await fetch(`${base}/streamer/stream`, { signal: stop.signal });
    const reader = stream.body!.pipeThrough(new TextDecoderStream()).getReader();
    expect((await reader.read()).value).toBe(": open\n\n");
    const answer = await post("streamer/commands/relay", '{"on":true}');
    expect([answer.status, await answer.json()]).toEqual([202, { state: "written" }]);
    expect((await reader.read()).value).toBe(
      'event: message\ndata: {"path":"devices/streamer/commands/relay","contentType":"application/json","payload":{"on":true}}\n\n',
    );
    stop.abort();
    expect((await post("away/commands/relay", "1")).status).toBe(404);
  });
});

it("describes itself as OpenAPI 3.1", async () => {
  const answer = await fetch(`http://127.0.0.1:${rig.port("web")}/api/v1/openapi.json`);
  const document = (await answer.json()) as { openapi: string; paths: Record<string, object> };
  expect(document.openapi).toBe("3.1.0");
  expect(Object.keys(document.paths)).toContain("/api/v1/devices/{deviceId}/stream");
});

it("answers 503 with Retry-After while NATS is away, and takes telemetry without it", async () => {
  const lonely = await startRig({ http: { web: { storeTimeout: "100ms" } } });
  const url = `http://127.0.0.1:${lonely.port("web")}/api/v1/devices/d/messages/x`;
  await lonely.nats[Symbol.asyncDispose]();
  await waitFor(() => !lonely.bus.connected, { what: "the loss of NATS" });
  const event = await fetch(url, {
    method: "POST",
    body: "1",
    headers: { "content-type": "application/json" },
  });
  expect([event.status, event.headers.get("retry-after")]).toEqual([503, "5"]);
  expect(await event.json()).toMatchObject({ code: "bus.timeout" });
  const telemetry = await fetch(`${url}?lane=telemetry`, {
    method: "POST",
    body: "{}",
    headers: { "content-type": "application/json" },
  });
  expect(telemetry.status).toBe(202);
  await lonely[Symbol.asyncDispose]();
});

it("answers streams of lines and single readings by their deadline while NATS stands still, and goes on with it", async () => {
  await using frozen = await startRig({ http: { web: { storeTimeout: "300ms" } } });
  const url = `http://127.0.0.1:${frozen.port("web")}/api/v1/devices/d/messages/x`;
  const send = (body: string, type: string) =>
    fetch(url, { method: "POST", body, headers: { "content-type": type } }).then((answer) => answer.status);
  await frozen.nats.pause();
  // More than the window of a partition, so that the listener stops reading.
  const lines = `"${"x".repeat(1021)}"\n`.repeat(8 * 1024);
  expect(await send(lines, "application/x-ndjson")).toBe(503);
  expect(await Promise.all([send("1", "application/json"), send("2", "application/json")])).toEqual([
    503, 503,
  ]);
  frozen.nats.resume();
  await waitFor(async () => (await send("3", "application/json")) === 202, { what: "an event stored again" });
});
