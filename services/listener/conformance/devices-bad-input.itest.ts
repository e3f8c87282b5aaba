/** What is too much or nothing a record can hold: refused with the field, and nothing of it is kept. */
import { waitFor } from "@myelin/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Ground, startGround } from "./ground.js";

let ground: Ground;
beforeAll(async () => {
  ground = await startGround();
  await waitFor(async () => (await ask("GET", "")).status === 200, {
    what: "the registry",
    deadlineMs: 20_000,
  });
});
afterAll(() => ground[Symbol.asyncDispose]());

async function ask(method: string, path: string, body?: string, type = "application/json") {
  const response = await fetch(`${ground.api(1)}/devices${path}`, {
    method,
    ...(body !== undefined && { body, headers: { "content-type": type } }),
  });
  const text = await response.text();
  const { code, path: field, errors } = text.startsWith("{") ? JSON.parse(text) : ({} as never);
  return { status: response.status, code, path: field, errors };
}

const many = (count: number, of: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => of(i)).join();
const nested = (depth: number): string => `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`;
const LONG = "x".repeat(64 * 1024);

/** One field that is wrong, what is said of it, and where. */
const BAD: readonly (readonly [what: string, fields: string, path: string])[] = [
  ["65 tags", `"tags":{${many(65, (i) => `"t${i}":"v"`)}}`, "tags"],
  ["a tag with a name of 64 kB", `"tags":{"${LONG}":"v"}`, `tags.${"x".repeat(80)}`],
  ["a tag with a value of 64 kB", `"tags":{"t":"${LONG}"}`, "tags.t"],
  ["a tag that is a huge number", `"tags":{"t":1e400}`, "tags.t"],
  ["a tag with a NUL", '"tags":{"t":"a\\u0000b"}', "tags.t"],
  ["65 groups", `"groups":[${many(65, (i) => `"g${i}"`)}]`, "groups"],
  ["a group of 64 kB", `"groups":["g","${LONG}"]`, "groups[1]"],
  ["a group that is a number", `"groups":["g",99999999999999999999]`, "groups[1]"],
  ["a profile of 64 kB", `"profile":"${LONG}"`, "profile"],
  ["a profile with a NUL", '"profile":"a\\u0000b"', "profile"],
  ["a description of 64 kB", `"description":"${LONG}"`, "description"],
  ["an unknown field of 64 kB", `"${LONG}":1`, "x".repeat(80)],
  ["tags that are nested", `"tags":{"t":${nested(20)}}`, "tags.t"],
];

describe("a device", () => {
  it.each(BAD)("with %s is refused, and the answer says where", async (_what, fields, path) => {
    expect(await ask("POST", "", `{"id":"bad",${fields}}`)).toMatchObject({
      status: 422,
      code: "device.invalid",
      path,
    });
    expect((await ask("GET", "/bad")).status).toBe(404);
  });

  it("with an id of 64 kB is refused", async () => {
    expect(await ask("POST", "", `{"id":"${LONG}"}`)).toMatchObject({ status: 422, path: "id" });
  });

  it.each([
    ["a million tags", `{"id":"bad","tags":{${many(1_000_000, (i) => `"t${i}":"v"`)}}}`],
    ["JSON that is 100,000 levels deep", `{"id":"bad","tags":${nested(100_000)}}`],
  ])("with %s is refused without harm", async (_what, body) => {
    const { status } = await ask("POST", "", body);
    expect([400, 413, 422]).toContain(status);
    expect((await ask("GET", "/bad")).status).toBe(404);
  });

  it.each(["1e400", "-1", "1.5", "99999999999999999999", "NaN"])(
    "is not changed under the version %s, which is none",
    async (version) => {
      expect((await ask("PUT", "/versioned", "{}")).status).toBeLessThan(300);
      const response = await fetch(`${ground.api(1)}/devices/versioned`, {
        method: "PATCH",
        headers: { "content-type": "application/merge-patch+json", "if-match": `"${version}"` },
        body: '{"description":"changed"}',
      });
      expect([400, 412]).toContain(response.status);
    },
  );
});

describe("an import", () => {
  it("tells of each such line, and takes the others", async () => {
    const lines = BAD.map(([, fields], i) => `{"id":"line-${i}",${fields}}`);
    const deep = `{"id":"deep","tags":${nested(20_000)}}`;
    const all = [...lines, deep, '{"id":"good"}'].join("\n");
    const { status, errors } = await ask("POST", "?errors=100", all, "application/x-ndjson");
    expect(status).toBe(207);
    expect(errors).toHaveLength(BAD.length + 1);
    errors.sort((a: { line: number }, b: { line: number }) => a.line - b.line);
    for (const [i, [, , path]] of BAD.entries())
      expect(errors[i]).toMatchObject({ line: i + 1, path, code: "device.invalid" });
    expect((await ask("GET", "/good")).status).toBe(200);
  });
});
