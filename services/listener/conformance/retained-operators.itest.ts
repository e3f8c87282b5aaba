/** What operators see and do of retained messages over HTTP, with those who keep them. */
import { connectAsync } from "mqtt";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Ground, startGround } from "./ground.js";

type Body = { retained: { topic: string }[]; next?: string; code?: string };

let ground: Ground;
beforeAll(async () => {
  ground = await startGround();
});
afterAll(() => ground[Symbol.asyncDispose]());

async function ask(query: string, method = "GET"): Promise<{ status: number; body: Body }> {
  const response = await fetch(`${ground.api(1)}/admin/retained?${query}`, { method });
  return { status: response.status, body: (await response.json()) as Body };
}

it("lists retained messages in the order of their topics, page by page, and clears what a filter matches", async () => {
  const sender = await connectAsync({ port: ground.port(0, "TCP"), protocolVersion: 5, clientId: "sender" });
  const topics = Array.from({ length: 25 }, (_, i) => `plant/${String(i).padStart(2, "0")}`);
  const binary = Buffer.from([0xff, 0x00, 0xfe]);
  const expiry = { messageExpiryInterval: 3_600, contentType: "text/plain" };
  for (const topic of topics) {
    await sender.publishAsync(topic, `value of ${topic}`, { qos: 1, retain: true, properties: expiry });
  }
  await sender.publishAsync("other/é", binary, { qos: 2, retain: true });
  await sender.endAsync();

  const seen: string[] = [];
  let next: string | undefined = "";
  do {
    const { status, body } = await ask(`filter=plant/%2B&limit=10&cursor=${next}`);
    expect(status).toBe(200);
    seen.push(...body.retained.map(({ topic }) => topic));
    next = body.next;
  } while (next !== undefined);
  expect(seen).toEqual(topics);
  expect((await ask("limit=1000")).body.retained).toHaveLength(26);
  expect((await ask("filter=plant/07&payload=5")).body.retained).toEqual([
    {
      topic: "plant/07",
      device: "sender",
      qos: 1,
      bytes: 17,
      publishedAt: expect.stringMatching(/Z$/),
      expiresAt: expect.stringMatching(/Z$/),
      contentType: "text/plain",
      payload: "value",
    },
  ]);
  const other = await ask(`filter=${encodeURIComponent("other/é")}&payload=100`);
  expect(other.body.retained).toMatchObject([
    { topic: "other/é", qos: 2, bytes: 3, payloadBase64: binary.toString("base64") },
  ]);
  expect((await ask("tenant=acme")).body.retained).toEqual([]);

  expect(await ask("filter=plant/%2B", "DELETE")).toEqual({
    status: 200,
    body: { filter: "plant/+", cleared: 25 },
  });
  expect((await ask("")).body.retained.map(({ topic }) => topic)).toEqual(["other/é"]);
});

it.each([
  ["GET", "filter=a/%23/b"],
  ["GET", "filter=$share/g/a"],
  ["GET", "cursor=*"],
  ["GET", "payload=99999999"],
  ["DELETE", ""],
  ["DELETE", "filter="],
])("refuses %s %s", async (method, query) => {
  expect(await ask(query, method)).toMatchObject({ status: 400, body: { code: "protocol.malformed" } });
});
