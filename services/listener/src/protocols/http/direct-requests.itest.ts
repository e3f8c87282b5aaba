/** Plain POSTs are answered on the socket and everything else by the library: nobody may see where one ends and the other begins. */
import { writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tempDir } from "@myelin/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Rig, startRig } from "../../../test/listener-rig.js";
import { hashPassword } from "../../core/password.js";

let rig: Rig;

beforeAll(async () => {
  rig = await startRig({ http: { web: { maxBody: "4KiB", headerTimeout: "1s" } } });
});
afterAll(async () => {
  await rig[Symbol.asyncDispose]();
});

interface Request {
  readonly path: string;
  readonly body: string;
  readonly lane?: "event" | "telemetry";
  readonly headers?: readonly string[];
}

function bytesOf({ path, body, lane = "event", headers = [] }: Request): string {
  return [
    `POST /api/v1/devices/d1/messages/${path}?lane=${lane} HTTP/1.1`,
    "Host: localhost",
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...headers,
    "",
    body,
  ].join("\r\n");
}

/** Writes the pieces, each after the one before has left the process, closes the sending side, and returns all that comes back. */
function exchange(pieces: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: rig.port("web"), host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
    let text = "";
    const next = (i: number): void => {
      if (i === pieces.length) socket.end();
      else socket.write(pieces[i]!, () => setImmediate(next, i + 1));
    };
    socket.on("connect", () => next(0));
    socket.on("data", (chunk) => {
      text += chunk.toString();
    });
    socket.on("end", () => resolve(text));
    socket.on("error", reject);
  });
}

/** Status and body of each answer. */
function answersIn(text: string): readonly (readonly [string, string])[] {
  const answers: [string, string][] = [];
  let rest = text;
  while (rest !== "") {
    const at = rest.indexOf("\r\n\r\n");
    const head = rest.slice(0, at);
    const length = Number(/content-length: (\d+)/i.exec(head)?.[1]);
    if (at < 0 || Number.isNaN(length)) throw new Error(`no answer begins with ${rest.slice(0, 300)}`);
    answers.push([head.split(" ", 2)[1]!, rest.slice(at + 4, at + 4 + length)]);
    rest = rest.slice(at + 4 + length);
  }
  return answers;
}

const TAKEN = ["202", '{"accepted":1,"rejected":0}'] as const;
const VIA_LIBRARY = ["X-Other: 1"];

it("answers requests that come in one piece in their order, whatever their lanes, the library's included", async () => {
  const path = "direct/order";
  const requests: Request[] = [
    { path, body: "1", lane: "telemetry" },
    { path, body: "2" },
    { path, body: "3", lane: "telemetry" },
    { path, body: "{" },
    { path, body: "5" },
    { path, body: "[6,7]", lane: "telemetry" },
  ];
  const answers = answersIn(await exchange([requests.map(bytesOf).join("")]));
  expect(answers.map(([status]) => status)).toEqual(["202", "202", "202", "400", "202", "202"]);
  expect(answers[5]![1]).toBe('{"accepted":2,"rejected":0}');
  const seen = await rig.messages(path, 6);
  expect(seen.map(({ text }) => text).sort()).toEqual(["1", "2", "3", "5", "6", "7"]);
});

it("takes a request that is cut anywhere once", async () => {
  const request = { path: "direct/cut", body: '{"t":1}' };
  const whole = bytesOf(request);
  const cuts = Array.from({ length: whole.length - 1 }, (_, i) => i + 1);
  const texts = await Promise.all(cuts.map((at) => exchange([whole.slice(0, at), whole.slice(at)])));
  for (const text of texts) expect(answersIn(text)).toEqual([TAKEN]);
  expect(await rig.messages("direct/cut", cuts.length)).toHaveLength(cuts.length);
});

describe("says the same as the library", () => {
  it.each<[string, Request]>([
    ["to a reading", { path: "same", body: ' {"t":1} ' }],
    ["to telemetry", { path: "same", body: "1", lane: "telemetry" }],
    ["to no JSON", { path: "same", body: "{" }],
    ["to bad UTF-8 escapes", { path: "same", body: '"\\ud800"' }],
    ["to an array", { path: "same", body: "[1,2,3]" }],
    ["to a body beyond the bound", { path: "same", body: "1".repeat(5000) }],
    ["to bad credentials", { path: "same", body: "1", headers: ["Authorization: Digest x"] }],
    [
      "to a user without a password",
      { path: "same", body: "1", headers: ["Authorization: Basic bm9ib2R5OnB3"] },
    ],
  ])("%s", async (_, request) => {
    const { headers = [] } = request;
    const library = bytesOf({ ...request, headers: [...headers, ...VIA_LIBRARY] });
    const [ours, theirs] = await Promise.all([exchange([bytesOf(request)]), exchange([library])]);
    expect(answersIn(ours)).toEqual(answersIn(theirs));
    expect(answersIn(ours)).toHaveLength(1);
  });
});

it("closes the connection of one whose password is wrong when it has told it so, and takes nothing that came behind", async () => {
  await using dir = await tempDir("direct");
  const usersFile = dir.join("users.yaml");
  const password = await hashPassword(Buffer.from("secret"));
  await writeFile(usersFile, `users:\n  - { name: ann, password: "${password}" }\n`);
  await using guarded = await startRig(
    { http: { web: { headerTimeout: "2m", keepAliveTimeout: "2m" } } },
    { nats: rig.nats, instance: "guarded", admission: { "static-file": { usersFile, anonymous: "nobody" } } },
  );
  const path = "direct/guarded";
  const headerOf = (pair: string) => `Authorization: Basic ${Buffer.from(pair).toString("base64")}`;
  const wrong = bytesOf({ path, body: "1", headers: [headerOf("ann:wrong")] });
  const right = bytesOf({ path, body: "2", headers: [headerOf("ann:secret")] });
  // Never ends its own side.
  const socket = connect({ port: guarded.port("web"), host: "127.0.0.1", allowHalfOpen: true });
  socket.write(wrong + right);
  let text = "";
  for await (const chunk of socket) text += chunk.toString();
  socket.destroy();
  expect(answersIn(text).map(([status]) => status)).toEqual(["401"]);
});

it("answers many requests that were sent without waiting", async () => {
  const path = "direct/many";
  const requests = Array.from({ length: 1000 }, (_, i) => bytesOf({ path, body: String(i) }));
  const answers = answersIn(await exchange([requests.join("")]));
  expect(answers).toEqual(requests.map(() => TAKEN));
  const seen = await rig.messages(path, 1000);
  expect(seen.map(({ text }) => Number(text))).toEqual(requests.map((_, i) => i));
});
