import { waitFor } from "@myelin/testkit";
import { connectAsync } from "mqtt";
import { expect, test } from "vitest";
import {
  type Box,
  compare,
  httpPublisher,
  mcpPublisher,
  mqttPublisher,
  startApp,
  startBox,
} from "../support/index.js";

/** What one POST of an event is answered; the listener waits for the store for some seconds before it says no. */
async function post(box: Box): Promise<{ status: number; retryAfter: string | null; type: string | null }> {
  const answer = await fetch(`${box.httpUrl}/devices/probe/messages/probe`, { method: "POST", body: "1" });
  const { status, headers } = answer;
  await answer.arrayBuffer();
  return { status, retryAfter: headers.get("retry-after"), type: headers.get("content-type") };
}

const TELEMETRY = 200;

test.each(["killed", "frozen"])(
  "while nats-server is %s devices stay connected, events are not acknowledged, telemetry is counted as dropped; then all goes on",
  async (how) => {
    await using box = await startBox();
    await using app = await startApp(box, { app: "archive", filters: ["load/#"] });
    const idle = await connectAsync(`mqtt://127.0.0.1:${box.ports.mqtt}`, {
      clientId: "idle",
      reconnectPeriod: 0,
      keepalive: 2,
    });
    let closed = 0;
    idle.on("close", () => {
      closed += 1;
    });
    await using mqtt = await mqttPublisher(box, "press-mqtt");
    await using tcp = await mcpPublisher(box, "press-tcp", "tcp");
    await using http = httpPublisher(box, "press-http");
    const publishers = [mqtt, tcp, http];
    await Promise.all(publishers.map((publisher) => publisher.progress(50)));

    // A frozen supervisor starts nothing again.
    await box.process.pause();
    process.kill(box.pidOf("nats-server"), how === "killed" ? "SIGKILL" : "SIGSTOP");
    // One that was on its way may still have been stored; the next is refused.
    const refusal = await waitFor(
      async () => {
        const answer = await post(box);
        return answer.status === 202 ? undefined : answer;
      },
      { what: "a refusal", deadlineMs: 30_000 },
    );
    expect(refusal).toMatchObject({ status: 503, type: expect.stringContaining("problem+json") });
    const counts = () => publishers.map(({ acknowledged }) => acknowledged.size);
    const before = counts();
    for (let n = 0; n < TELEMETRY; n++) await idle.publishAsync("load/idle", `idle:${n}`, { qos: 0 });
    expect((await post(box)).retryAfter).not.toBeNull();
    expect(counts()).toEqual(before);
    expect(closed).toBe(0);

    if (how === "frozen") process.kill(box.pidOf("nats-server"), "SIGCONT");
    box.process.resume();
    await Promise.all(publishers.map((publisher) => publisher.progress(50)));
    await Promise.all(publishers.map((publisher) => publisher.finish()));
    // What the stream kept is delivered when its owner is back; no hop counts it before.
    await waitFor(
      async () => {
        const sofar = await app.received();
        return publishers.every((publisher) => compare(publisher, sofar).lost.length === 0);
      },
      { what: "everything that was acknowledged", deadlineMs: 20_000 },
    );
    const { rows, unaccounted } = await box.settledLedger(20_000);
    expect(unaccounted).toBe(0);
    const ingress = rows.find(({ hop, lane }) => hop === "ingress" && lane === "telemetry");
    expect(ingress?.received).toBe(TELEMETRY);
    const received = await app.received();
    const arrived = received.filter(({ device }) => device === "idle").length;
    // Where the bytes were in a frozen socket they may arrive after all; nothing is in neither of the books.
    const dropped = rows
      .filter(({ lane }) => lane === "telemetry")
      .flatMap((row) => Object.values(row.dropped))
      .reduce((sum, count) => sum + count, 0);
    expect(arrived + dropped).toBe(TELEMETRY);
    if (how === "killed") expect(dropped).toBe(TELEMETRY);
    for (const publisher of publishers) {
      const { lost, disordered } = compare(publisher, received);
      expect({ device: publisher.device, lost, disordered }).toMatchObject({ lost: [], disordered: [] });
    }
    expect(closed).toBe(0);
    await idle.endAsync(true);
  },
  120_000,
);
