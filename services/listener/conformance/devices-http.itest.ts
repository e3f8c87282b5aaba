/** The registry of devices over HTTP, with the owners of its partitions. */

import { waitFor } from "@myelin/testkit";
import { Validator } from "@seriousme/openapi-schema-validator";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Ground, startGround, USER } from "./ground.js";

let ground: Ground;
beforeAll(async () => {
  ground = await startGround();
  await waitFor(async () => (await ask("GET", "")).status === 200, {
    what: "the registry",
    deadlineMs: 20_000,
  });
});
afterAll(() => ground[Symbol.asyncDispose]());

type Body = Record<string, unknown> & {
  next?: string;
  version?: number;
  code?: string;
  devices?: { id: string }[];
};

async function ask(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  const response = await fetch(`${ground.api(1)}/devices${path}`, {
    method,
    headers: { ...(body !== undefined && { "content-type": "application/json" }), ...headers },
    ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const type = response.headers.get("content-type") ?? "";
  return {
    status: response.status,
    etag: response.headers.get("etag") ?? "",
    location: response.headers.get("location"),
    type,
    text,
    body: (type.includes("json") && !type.includes("ndjson") ? JSON.parse(text) : {}) as Body,
  };
}

describe("one device", () => {
  it("is created once, read, replaced, patched and deleted", async () => {
    const device = { id: "boiler 7", profile: "boiler", tags: { site: "north" }, groups: ["hall"] };
    const made = await ask("POST", "", device);
    expect(made).toMatchObject({ status: 201, location: "/api/v1/devices/boiler%207", body: device });
    expect(made.etag).toBe(`"${made.body.version}"`);
    expect(await ask("POST", "", device)).toMatchObject({ status: 409, body: { code: "device.exists" } });
    const read = await ask("GET", "/boiler%207");
    expect(read).toMatchObject({ status: 200, etag: made.etag, body: made.body });

    const put = await ask("PUT", "/boiler%207", { description: "x" });
    expect(put).toMatchObject({ status: 200, body: { description: "x", profile: "", tags: {}, groups: [] } });
    expect(await ask("PUT", "/fresh", {})).toMatchObject({ status: 201, body: { id: "fresh" } });
    expect(await ask("PUT", "/fresh", { id: "stale" })).toMatchObject({
      status: 422,
      body: { code: "device.invalid", path: "id" },
    });
    const patch = await ask("PATCH", "/boiler%207", '{"tags":{"floor":"2"},"description":null}', {
      "content-type": "application/merge-patch+json",
    });
    expect(patch).toMatchObject({ status: 200, body: { tags: { floor: "2" }, description: "" } });
    expect(await ask("DELETE", "/boiler%207")).toMatchObject({ status: 204, text: "" });
    expect(await ask("GET", "/boiler%207")).toMatchObject({ status: 404, body: { code: "device.unknown" } });
    expect((await ask("DELETE", "/boiler%207")).status).toBe(404);
    expect((await ask("PATCH", "/boiler%207", {})).status).toBe(404);
  });

  it("is changed under the conditions of the request alone", async () => {
    const first = await ask("PUT", "/cond", { description: "1" }, { "if-none-match": "*" });
    expect(first.status).toBe(201);
    expect((await ask("PUT", "/cond", {}, { "if-none-match": "*" })).status).toBe(412);
    expect((await ask("PUT", "/nobody", {}, { "if-match": "*" })).status).toBe(412);
    expect((await ask("GET", "/cond", undefined, { "if-none-match": first.etag })).status).toBe(304);
    expect((await ask("GET", "/cond", undefined, { "if-none-match": `W/${first.etag}, "x"` })).status).toBe(
      304,
    );
    expect((await ask("GET", "/cond", undefined, { "if-none-match": '"0"' })).status).toBe(200);

    const second = await ask("PATCH", "/cond", { description: "2" }, { "if-match": `"0", ${first.etag}` });
    expect(second.status).toBe(200);
    for (const [method, body] of [
      ["PUT", {}],
      ["PATCH", {}],
      ["DELETE", undefined],
      ["GET", undefined],
    ] as const) {
      const stale = await ask(method, "/cond", body, { "if-match": first.etag });
      expect({ method, status: stale.status, code: stale.body.code }).toEqual({
        method,
        status: 412,
        code: "device.version_conflict",
      });
    }
    expect((await ask("PUT", "/cond", {}, { "if-match": `W/${second.etag}` })).status).toBe(412);
    expect((await ask("PUT", "/cond", {}, { "if-match": "2" })).status).toBe(400);
    expect((await ask("PUT", "/cond", {}, { "if-match": "*" })).status).toBe(200);
    expect((await ask("DELETE", "/cond", undefined, { "if-match": second.etag })).status).toBe(412);
  });

  it("loses no update of many who each send the version that they have read", async () => {
    await ask("PUT", "/counted", { description: "0" });
    const add = async (): Promise<void> => {
      for (;;) {
        const { etag, body } = await ask("GET", "/counted");
        const next = { description: String(Number(body.description) + 1) };
        const { status } = await ask("PATCH", "/counted", next, { "if-match": etag });
        if (status === 200) return;
        expect(status).toBe(412);
      }
    };
    await Promise.all(Array.from({ length: 8 }, add));
    expect((await ask("GET", "/counted")).body.description).toBe("8");
  });

  it("is the same for a request that is sent again with its key, also after a change, and refused for another", async () => {
    const key = { "idempotency-key": "order 4711" };
    const made = await ask("POST", "", { id: "keyed" }, key);
    expect(await ask("POST", "", { id: "keyed" }, key)).toMatchObject({ status: 201, body: made.body });
    const patched = await ask("PATCH", "/keyed", { description: "later" });
    expect(await ask("POST", "", { id: "keyed" }, key)).toMatchObject({ status: 201, body: patched.body });
    expect(await ask("POST", "", { id: "keyed", profile: "p" }, key)).toMatchObject({
      status: 422,
      body: { code: "request.key_reused" },
    });
    expect((await ask("POST", "", { id: "keyed" }, { "idempotency-key": "other" })).status).toBe(409);
    expect((await ask("POST", "", { id: "keyed" }, { "idempotency-key": "" })).status).toBe(400);
  });

  it.each([
    ["id", { id: "a/b" }],
    ["id", { id: 7 }],
    ["colour", { id: "a", colour: "red" }],
    ["profile", { id: "a", profile: 1 }],
    ["tags.x y", { id: "a", tags: { "x y": "1" } }],
    ["tags.n", { id: "a", tags: { n: 1 } }],
    ["tags", { id: "a", tags: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`t${i}`, ""])) }],
    ["groups[1]", { id: "a", groups: ["g", ""] }],
    ["groups", { id: "a", groups: ["g", "g"] }],
  ])("is refused with the field %s that is wrong", async (path, body) => {
    expect(await ask("POST", "", body)).toMatchObject({
      status: 422,
      type: expect.stringContaining("application/problem+json"),
      body: { code: "device.invalid", path },
    });
  });

  it("is refused for bodies that are none, and methods that are not there", async () => {
    expect((await ask("POST", "", "{")).status).toBe(400);
    expect((await ask("POST", "", "x", { "content-type": "text/plain" })).status).toBe(415);
    const deep = `${'{"tags":'.repeat(50_000)}1${"}".repeat(50_000)}`;
    expect((await ask("PATCH", "/keyed", deep)).status).toBe(422);
    expect((await ask("PATCH", "", {})).status).toBe(405);
    expect((await ask("POST", "/keyed", {})).status).toBe(405);
  });
});

describe("many devices", () => {
  it("come in and out as NDJSON and CSV, and what is refused is told with line, field and rule", async () => {
    const lines = Array.from({ length: 1_200 }, (_, i) =>
      JSON.stringify({ id: `many-${i}`, profile: i % 2 === 0 ? "even" : "odd", groups: ["crowd", "a b"] }),
    );
    lines[10] = '{"id":"many-10","tags":{"x y":"1"}}';
    lines[20] = "{";
    const imported = await ask("POST", "?errors=1", lines.join("\n"), {
      "content-type": "application/x-ndjson",
    });
    expect(imported).toMatchObject({
      status: 207,
      body: { imported: 1_198, created: 1_198, refused: 2, errors: [{ line: expect.any(Number) }] },
    });
    const again = await ask("POST", "", lines.slice(0, 11).join("\n"), {
      "content-type": "application/x-ndjson",
    });
    expect(again.body).toEqual({
      imported: 10,
      created: 0,
      refused: 1,
      errors: [
        {
          line: 11,
          path: "tags.x y",
          code: "device.invalid",
          detail: expect.stringContaining("must be a name"),
        },
      ],
    });
    const csv = await ask("GET", "?profile=even&group=crowd", undefined, { accept: "text/csv" });
    expect(csv.type).toContain("text/csv");
    expect(csv.text.split("\r\n")).toHaveLength(599 - 1 + 2);
    const back = await ask("POST", "", csv.text, { "content-type": "text/csv" });
    expect(back).toMatchObject({ status: 200, body: { imported: 598, created: 0, refused: 0 } });
    const ndjson = await ask("GET", "?format=ndjson&idPrefix=many-&group=a+b");
    expect(ndjson.text.trimEnd().split("\n")).toHaveLength(1_198);
    expect(await ask("POST", "", '"', { "content-type": "text/csv" })).toMatchObject({
      status: 400,
      body: { code: "device.unreadable", imported: 0 },
    });
    expect((await ask("POST", "", "{", { "content-type": "application/x-ndjson" })).status).toBe(422);
  });

  it("are listed by any conditions, page by page", async () => {
    await ask(
      "POST",
      "",
      Array.from({ length: 30 }, (_, i) => `list-${i},${i % 3},${i % 2 === 0 ? "g h" : "g"}`)
        .toSpliced(0, 0, "id,tags.floor,groups")
        .join("\n"),
      { "content-type": "text/csv" },
    );
    const all = async (query: string): Promise<string[]> => {
      const found: string[] = [];
      for (let cursor = ""; ; ) {
        const { status, body } = await ask("GET", `?limit=7&idPrefix=list-&${query}&cursor=${cursor}`);
        expect(status).toBe(200);
        found.push(...body.devices!.map(({ id }) => id));
        if (body.next === undefined) return found;
        cursor = body.next;
      }
    };
    const ids = (keep: (i: number) => boolean): string[] =>
      [...Array(30).keys()]
        .filter(keep)
        .map((i) => `list-${i}`)
        .sort();
    expect(await all("")).toEqual(ids(() => true));
    expect(await all("group=g&group=h")).toEqual(ids((i) => i % 2 === 0));
    expect(await all("group=h&tag=floor%3D1")).toEqual(ids((i) => i % 2 === 0 && i % 3 === 1));
    expect(await all("tenant=acme")).toEqual([]);
  });

  it.each(["limit=0", "limit=1001", "cursor=%20", "tag=x", "format=xml"])(
    "are not listed by %s",
    async (query) => {
      expect(await ask("GET", `?${query}`)).toMatchObject({
        status: 400,
        body: { code: "protocol.malformed" },
      });
    },
  );

  it("are not listed by more conditions than a list takes", async () => {
    const query = Array.from({ length: 17 }, (_, i) => `group=g${i}`).join("&");
    expect(await ask("GET", `?${query}`)).toMatchObject({ status: 422, body: { code: "device.invalid" } });
  });

  it("come whole where their records are as large as they may be", async () => {
    const tags = Object.fromEntries(
      Array.from({ length: 64 }, (_, i) => [`t${i}`.padEnd(63, "x"), "ü".repeat(253)]),
    );
    const groups = Array.from({ length: 64 }, (_, i) => `${i}`.padEnd(128, "😀"));
    const lines = Array.from({ length: 40 }, (_, i) => JSON.stringify({ id: `large-${i}`, tags, groups }));
    const imported = await ask("POST", "", lines.join("\n"), { "content-type": "application/x-ndjson" });
    expect(imported.body).toMatchObject({ imported: 40, refused: 0 });
    const { text } = await ask("GET", "?format=ndjson&idPrefix=large-");
    expect(text.trimEnd().split("\n")).toHaveLength(40);
  });
});

it("is open to operators alone", async () => {
  const authorization = `Basic ${Buffer.from(`${USER.name}:${USER.password}`).toString("base64")}`;
  for (const [method, path] of [
    ["GET", ""],
    ["POST", ""],
    ["GET", "/d"],
    ["PUT", "/d"],
    ["PATCH", "/d"],
    ["DELETE", "/d"],
  ] as const) {
    const body = method === "GET" ? undefined : { id: "d" };
    expect((await ask(method, path, body, { authorization })).status).toBe(403);
  }
  expect((await ask("GET", "/d")).status).toBe(404);
});

it("describes all of it as OpenAPI 3.1 that a validator accepts", async () => {
  const document = (await (await fetch(`${ground.api(0)}/openapi.json`)).json()) as { paths: object };
  const validator = new Validator();
  expect(await validator.validate(document)).toEqual({ valid: true });
  expect(validator.version).toBe("3.1");
  expect(Object.keys(document.paths)).toEqual(
    expect.arrayContaining(["/api/v1/devices", "/api/v1/devices/{deviceId}"]),
  );
});
