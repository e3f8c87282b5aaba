import { McpClient } from "@myelin/sdk-node";
import { waitFor } from "@myelin/testkit";
import { expect, test } from "vitest";
import { compare, httpPublisher, mcpPublisher, mqttPublisher, startApp } from "../support/index.js";
import { BreakableLine } from "./breakable-line.js";
import { startCluster } from "./cluster.js";

test("each device's events stay in order over two listeners and two dispatchers, also when a dispatcher is killed", async () => {
  await using cluster = await startCluster();
  await using app = await startApp(cluster, {
    app: "archive",
    filters: ["load/#"],
    target: cluster.appTarget,
  });
  const [first, second] = cluster.listeners;
  if (first === undefined || second === undefined) throw new Error("two listeners were started");
  await using a = await mqttPublisher(first, "press-a");
  await using b = await mqttPublisher(second, "press-b");
  await using c = httpPublisher(first, "press-c");
  await using d = await mcpPublisher(second, "press-d", "tcp");
  const publishers = [a, b, c, d];

  await Promise.all(publishers.map((publisher) => publisher.progress(100)));
  await cluster.dispatchers[0]?.kill("SIGKILL");
  await Promise.all(publishers.map((publisher) => publisher.progress(100)));
  await cluster.dispatchers[0]?.start();
  await Promise.all(publishers.map((publisher) => publisher.progress(100)));
  await Promise.all(publishers.map((publisher) => publisher.finish()));

  await app.receivedTexts(publishers.reduce((sum, { acknowledged }) => sum + acknowledged.size, 0));
  const received = await app.received();
  for (const publisher of publishers) {
    const { lost, disordered, doubled } = compare(publisher, received);
    expect({ device: publisher.device, lost, disordered, doubled }).toMatchObject({
      lost: [],
      disordered: [],
      doubled: [],
    });
  }
  expect((await cluster.settledLedger()).unaccounted).toBe(0);
}, 90_000);

test("a device that comes back to the other listener goes on with its session: only what it had not acknowledged comes again", async () => {
  await using cluster = await startCluster();
  await using app = await startApp(cluster, {
    app: "ten-lines",
    filters: ["readings/#"],
    target: cluster.appTarget,
    answer: true,
  });
  const [first, second] = cluster.listeners;
  if (first === undefined || second === undefined) throw new Error("two listeners were started");
  await using line = await new BreakableLine(first.ports.mcpTcp).listen();
  const options = { deviceId: "rover", backoff: { initialMs: 50, maxMs: 200 } };
  const before = new McpClient({ ...options, url: `tcp://127.0.0.1:${line.port}` });
  const send = (device: McpClient, n: number) =>
    device.send("readings/temp", `{"t":${n}}`, { lane: "event", contentType: "application/json" });
  const answers: string[] = [];
  before.onMessage(async (message) => {
    answers.push(message.payload.toString());
    // The second one is in the device's hands, unacknowledged, when the device loses its power.
    if (answers.length === 2) await new Promise(() => undefined);
  });
  await before.start(AbortSignal.timeout(10_000));
  for (const n of [1, 2]) {
    await send(before, n);
    await waitFor(() => answers.length === n, { what: `answer ${n}` });
  }
  line.break();
  await waitFor(() => before.state === "reconnecting", { what: "the device to notice" });
  const { resumeState } = before;
  await before.stop();

  const after = new McpClient({
    ...options,
    url: `tcp://127.0.0.1:${second.ports.mcpTcp}`,
    resume: resumeState,
  });
  after.onMessage((message) => {
    answers.push(message.payload.toString());
  });
  await after.start(AbortSignal.timeout(10_000));
  await waitFor(() => answers.length === 3, { what: "the second answer again", deadlineMs: 10_000 });
  await send(after, 3);
  await waitFor(() => answers.length === 4, { what: "the third answer" });
  expect(answers).toEqual(['{"t":1}', '{"t":2}', '{"t":2}', '{"t":3}']);
  expect((await app.received()).map(({ text }) => text)).toEqual(['{"t":1}', '{"t":2}', '{"t":3}']);
  await after.stop();
  expect((await cluster.settledLedger()).unaccounted).toBe(0);
}, 90_000);
