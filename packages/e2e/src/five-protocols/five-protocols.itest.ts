import { execFile } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";
import { promisify } from "node:util";
import { McpClient } from "@myelin/sdk-node";
import { type ManagedProcess, requires, startProcess, waitFor } from "@myelin/testkit";
import { connectAsync } from "mqtt";
import { describe, expect, test } from "vitest";
import WebSocket from "ws";
import { type Box, MAIN, startApp, startBox } from "../support/index.js";

const run = promisify(execFile);

/** `myelin tail --json`, listening before the first message is sent. */
async function startTail(box: Box, count: number): Promise<ManagedProcess> {
  return startProcess({
    name: "myelin tail",
    command: process.execPath,
    args: [
      MAIN,
      "tail",
      "--data-dir",
      box.dataDir,
      "--json",
      "--count",
      String(count),
      "--topic",
      "readings/#",
    ],
  });
}

interface Shown {
  readonly device: string;
  readonly protocol: string;
  readonly payload: unknown;
}

/** One connected device for each protocol: sends a reading, and has what came back. */
interface Device extends AsyncDisposable {
  readonly id: string;
  readonly protocol: string;
  send(payload: string): Promise<void>;
  answer(): string | undefined;
}

async function mqttDevice(box: Box): Promise<Device> {
  const id = "meter-mqtt";
  const client = await connectAsync(`mqtt://127.0.0.1:${box.ports.mqtt}`, {
    clientId: id,
    reconnectPeriod: 0,
  });
  let answer: string | undefined;
  client.on("message", (topic, payload) => {
    if (topic === "answers/readings/temp") answer = payload.toString();
  });
  await client.subscribeAsync("answers/#");
  return {
    id,
    protocol: "mqtt",
    send: async (payload) => {
      await client.publishAsync("readings/temp", payload, { qos: 1 });
    },
    answer: () => answer,
    [Symbol.asyncDispose]: () => client.endAsync(),
  };
}

/** curl that posts, and curl that holds a stream of server-sent events. */
async function httpDevice(box: Box): Promise<Device> {
  const id = "meter-http";
  const stream = await startProcess({
    command: "curl",
    args: ["-sN", `${box.httpUrl}/devices/${id}/stream`],
    name: "curl stream",
    ready: { line: /: open/ },
  });
  return {
    id,
    protocol: "http",
    send: async (payload) => {
      const { stdout } = await run("curl", [
        "-s",
        "-d",
        payload,
        `${box.httpUrl}/devices/${id}/messages/readings/temp`,
      ]);
      expect(JSON.parse(stdout)).toMatchObject({ accepted: 1, rejected: 0 });
    },
    answer: () =>
      stream.stdout
        .find((line) => line.startsWith("data:"))
        ?.slice(5)
        .trim(),
    [Symbol.asyncDispose]: () => stream[Symbol.asyncDispose](),
  };
}

async function webSocketDevice(box: Box): Promise<Device> {
  const id = "meter-ws";
  const socket = new WebSocket(`ws://127.0.0.1:${box.ports.http}/api/v1/devices/${id}/ws`);
  const messages: Record<string, unknown>[] = [];
  socket.on("message", (data) => messages.push(JSON.parse(String(data)) as Record<string, unknown>));
  await once(socket, "open");
  return {
    id,
    protocol: "websocket",
    send: async (payload) => {
      socket.send(`{"path":"readings/temp","id":"r1","lane":"event","payload":${payload}}`);
      await waitFor(() => messages.some(({ ack }) => ack === "r1"), { what: "the ack over WebSocket" });
    },
    answer: () => {
      const message = messages.find(({ path }) => path === "answers/readings/temp");
      return message === undefined ? undefined : JSON.stringify(message.payload);
    },
    [Symbol.asyncDispose]: async () => socket.terminate(),
  };
}

async function tcpDevice(box: Box): Promise<Device> {
  const id = "meter-tcp";
  const client = new McpClient({ url: `tcp://127.0.0.1:${box.ports.mcpTcp}`, deviceId: id });
  let answer: string | undefined;
  client.onMessage((message) => {
    if (message.type === "answers/readings/temp") answer = message.payload.toString();
  });
  await client.start(AbortSignal.timeout(10_000));
  return {
    id,
    protocol: "tcp",
    send: (payload) =>
      client.send("readings/temp", payload, { lane: "event", contentType: "application/json" }),
    answer: () => answer,
    [Symbol.asyncDispose]: () => client.stop(),
  };
}

async function udpDevice(box: Box): Promise<Device> {
  const id = "meter-udp";
  const client = new McpClient({ url: `udp://127.0.0.1:${box.ports.mcpUdp}`, deviceId: id });
  let answer: string | undefined;
  client.onMessage((message) => {
    if (message.type === "answers/readings/temp") answer = message.payload.toString();
  });
  await client.start(AbortSignal.timeout(10_000));
  return {
    id,
    protocol: "udp",
    send: (payload) =>
      client.send("readings/temp", payload, { lane: "event", contentType: "application/json" }),
    answer: () => answer,
    [Symbol.asyncDispose]: () => client.stop(),
  };
}

describe("a reading over each protocol", () => {
  test.each(["grpc", "socket"] as const)(
    "reaches an application over %s, whose answer reaches the connected device; tail and ledger have seen it",
    async (over) => {
      await using box = await startBox();
      await using tail = await startTail(box, 5);
      await using app = await startApp(box, {
        app: "ten-lines",
        filters: ["readings/#"],
        over,
        answer: true,
      });
      await using mqtt = await mqttDevice(box);
      await using http = await httpDevice(box);
      await using webSocket = await webSocketDevice(box);
      await using tcp = await tcpDevice(box);
      await using udp = await udpDevice(box);
      const devices = [mqtt, http, webSocket, tcp, udp];

      for (const [index, device] of devices.entries()) await device.send(`{"t":${index}}`);

      const received = await app.receivedTexts(5);
      expect(received.map(({ device, protocol, lane }) => ({ device, protocol, lane }))).toEqual(
        expect.arrayContaining(devices.map(({ id, protocol }) => ({ device: id, protocol, lane: "event" }))),
      );
      for (const [index, device] of devices.entries()) {
        const answer = await waitFor(() => device.answer(), {
          what: `the answer at ${device.id}`,
          deadlineMs: 10_000,
        });
        expect(answer).toContain(`{"t":${index}}`);
      }

      expect(await tail.exited).toEqual({ code: 0, signal: null });
      const shown = tail.stdout.map((line) => JSON.parse(line) as Shown);
      expect(new Set(shown.map(({ protocol }) => protocol))).toEqual(
        new Set(["mqtt", "http", "websocket", "tcp", "udp"]),
      );
      const { rows, unaccounted } = await box.settledLedger();
      expect(unaccounted).toBe(0);
      const events = (hop: string, target = "") =>
        rows.find((row) => row.hop === hop && row.lane === "event" && row.target === target);
      expect(events("ingress")).toMatchObject({ received: 5, stored: 5, dropped: {} });
      expect(events("route")).toMatchObject({ received: 5, forwarded: 5, dropped: {} });
    },
  );
});

describe("clients that are installed anywhere", () => {
  test(
    "mosquitto_pub and mosquitto_sub talk through the box",
    requires.program("mosquitto_pub"),
    async () => {
      await using box = await startBox();
      const port = String(box.ports.mqtt);
      await using subscriber = await startProcess({
        command: "mosquitto_sub",
        args: ["-p", port, "-i", "display", "-t", "site/#", "-F", "%t %p"],
      });
      // mosquitto_sub does not tell a pipe when it has subscribed, so messages are sent until one arrives.
      await waitFor(
        async () => {
          await run("mosquitto_pub", ["-p", port, "-i", "sensor", "-q", "1", "-t", "site/a", "-m", "21.5"]);
          return subscriber.stdout.some((line) => line === "site/a 21.5");
        },
        { what: "a message at mosquitto_sub", deadlineMs: 10_000, everyMs: 200 },
      );
    },
  );

  test("lines of text over TCP and JSON in a datagram, which is acknowledged, arrive", async () => {
    await using box = await startBox();
    await using app = await startApp(box, { app: "plain", filters: ["#"] });
    const socket = connect(box.ports.lines, "127.0.0.1");
    await once(socket, "connect");
    socket.end('d1 readings/temp {"t":1}\n');

    const datagrams = createSocket("udp4");
    const answered = once(datagrams, "message");
    datagrams.send(
      '{"device":"d2","path":"readings/temp","id":"u1","lane":"event","payload":{"t":2}}',
      box.ports.mcpUdp,
      "127.0.0.1",
    );
    const [answer] = (await answered) as [Buffer];
    expect(JSON.parse(answer.toString())).toEqual({ ack: "u1" });
    datagrams.close();

    const received = await app.receivedTexts(2);
    expect(received.map(({ device, protocol, path }) => `${device} ${protocol} ${path}`).sort()).toEqual([
      "d1 tcp readings/temp",
      "d2 udp readings/temp",
    ]);
  });
});
