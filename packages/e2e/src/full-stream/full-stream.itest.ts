import { McpClient } from "@myelin/sdk-node";
import { waitFor } from "@myelin/testkit";
import { connectAsync } from "mqtt";
import { expect, test } from "vitest";
import { flood, floodNumbers, startApp, startBox } from "../support/index.js";

const MAX_STORE_BYTES = 64 * 1024 * 1024;
const EVENT_BYTES = 30_000;
const PER_REQUEST = 50;
const MAX_REQUESTS = 200;
/** MQTT 5, 3.4.2.1: an implementation or administrative limit has been exceeded. */
const QUOTA_EXCEEDED = 0x97;

test("a full stream refuses events in each protocol's terms, discards none, and takes more when it has room", async () => {
  await using box = await startBox({ maxStoreBytes: MAX_STORE_BYTES });
  await using app = await startApp(box, {
    app: "archive",
    filters: ["flood"],
    asleep: true,
    credit: { messages: 10, bytes: 1 << 20 },
  });

  // Until one is refused; those that were taken are a beginning of what was sent, except where a request was taken in part.
  let accepted = 0;
  let refusal: Awaited<ReturnType<typeof flood>> | undefined;
  for (let request = 0; request < MAX_REQUESTS && refusal === undefined; request++) {
    const answer = await flood(box, "press-1", request * PER_REQUEST, PER_REQUEST, EVENT_BYTES);
    accepted += answer.accepted;
    if (answer.status !== 202) refusal = answer;
  }
  expect(refusal?.codes).toEqual(["bus.stream_full"]);
  expect(accepted).toBeGreaterThan(0);

  const mqtt = await connectAsync(`mqtt://127.0.0.1:${box.ports.mqtt}`, {
    clientId: "press-1-mqtt",
    protocolVersion: 5,
    reconnectPeriod: 0,
  });
  const payload = "y".repeat(1_000_000);
  // The first refusal may have come from a moment's lack of room: what is taken after it is kept too, and brings the lasting one nearer.
  const reasons = new Set<number | undefined>();
  const publish = async (): Promise<boolean> => {
    const reason = await mqtt.publishAsync("other", payload, { qos: 1 }).then(
      () => 0,
      (error: { code?: number }) => error.code,
    );
    if (reason !== 0) reasons.add(reason);
    return reason !== 0;
  };
  await waitFor(publish, { what: "a refusal of MQTT", deadlineMs: 20_000, everyMs: 0 });
  expect([...reasons]).toEqual([QUOTA_EXCEEDED]);
  await mqtt.endAsync(true);

  const mcp = new McpClient({ url: `tcp://127.0.0.1:${box.ports.mcpTcp}`, deviceId: "press-1-mcp" });
  await mcp.start(AbortSignal.timeout(10_000));
  const codes = new Set<string | undefined>();
  const send = async (): Promise<boolean> => {
    const code = await mcp.send("other", payload.slice(0, 900_000), { lane: "event" }).then(
      () => undefined,
      (error: { code?: string }) => error.code,
    );
    if (code !== undefined) codes.add(code);
    return code !== undefined;
  };
  await waitFor(send, { what: "a refusal of MCP", deadlineMs: 20_000, everyMs: 0 });
  expect([...codes]).toEqual(["bus.stream_full"]);
  await mcp.stop();

  app.wake();
  const received = floodNumbers(await app.receivedTexts(accepted, 40_000));
  expect(received).toEqual([...received].sort((a, b) => a - b));
  await waitFor(
    async () => (await flood(box, "press-1", MAX_REQUESTS * PER_REQUEST, 1, EVENT_BYTES)).status === 202,
    { what: "room in the stream", deadlineMs: 20_000, everyMs: 200 },
  );
  await app.receivedTexts(accepted + 1);
  expect((await box.settledLedger()).unaccounted).toBe(0);
}, 120_000);
