import { createSocket } from "node:dgram";
import { connect } from "node:net";
import { MCP_MAGIC } from "@myelin/contract";
import { expect, test } from "vitest";
import {
  type Box,
  httpPublisher,
  mcpPublisher,
  mqttPublisher,
  startApp,
  startBox,
} from "../support/index.js";

/** The same bytes in every run. */
function noise(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

const frame = (length: number, body: string | Buffer): Buffer => {
  const size = Buffer.alloc(4);
  size.writeUInt32BE(length);
  return Buffer.concat([MCP_MAGIC, size, Buffer.from(body)]);
};

const MQTT_CONNECT = Buffer.from("100d00044d5154540402003c000161", "hex");

const ZOO: readonly (readonly [string, Buffer])[] = [
  ["nothing", Buffer.alloc(0)],
  ["one byte", Buffer.from([0])],
  ["noise", noise(100_000, 1)],
  ["more noise", noise(100_000, 2)],
  ["zeros", Buffer.alloc(100_000)],
  ["a line without end", Buffer.alloc(3_000_000, 0x41)],
  ["a length of four gigabytes", frame(0xffff_ffff, "x")],
  ["a frame that is cut", frame(1_000, "x")],
  ["a frame of noise", frame(500, noise(500, 3))],
  ["HTTP that is none", Buffer.from("GET / HTTP/9.9\r\nhost: \u0000\r\n\r\n")],
  [
    "two lengths",
    Buffer.from(
      "POST /api/v1/devices/d/messages/a HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
    ),
  ],
  [
    "an endless chunk",
    Buffer.from(
      "POST /api/v1/devices/d/messages/a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nFFFFFFFF\r\nabc",
    ),
  ],
  [
    "a TLS hello where there is no certificate",
    Buffer.concat([Buffer.from("16030100c8010000c40303", "hex"), noise(194, 4)]),
  ],
  ["CONNECT with a remaining length of five bytes", Buffer.from("10ffffffffff", "hex")],
  ["CONNECT of an unknown protocol", Buffer.from("100d00044d51585404020000000161", "hex")],
  ["PUBLISH before CONNECT", Buffer.from("3005000161626364", "hex")],
  ["CONNECT twice", Buffer.concat([MQTT_CONNECT, MQTT_CONNECT])],
  ["a wildcard in a topic", Buffer.concat([MQTT_CONNECT, Buffer.from("300400022f2b", "hex")])],
  ["bad UTF-8 in a topic", Buffer.concat([MQTT_CONNECT, Buffer.from("30040002c328", "hex")])],
  ["QoS 3", Buffer.concat([MQTT_CONNECT, Buffer.from("360600026162", "hex"), Buffer.from([0, 1])])],
];

/** Sends bytes and closes; resolves when the connection is over, whoever ended it. */
function throwAt(port: number, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.setTimeout(2_000, () => socket.destroy());
    socket.on("data", () => undefined);
    // A reset is one of the answers that bad input may get.
    socket.on("error", () => undefined);
    socket.on("close", () => resolve());
    socket.end(bytes);
  });
}

function throwDatagrams(port: number): Promise<void> {
  const socket = createSocket("udp4");
  const datagrams = ZOO.map(([, bytes]) => bytes.subarray(0, 1_400));
  return Promise.all(
    datagrams.map((bytes) => new Promise((done) => socket.send(bytes, port, "127.0.0.1", done))),
  ).then(() => new Promise((done) => socket.close(() => done())));
}

async function listenerMetrics(box: Box): Promise<string> {
  return (await fetch(`http://127.0.0.1:${box.ports.admin + 1}/metrics`)).text();
}

test("bad input at every port ends or is refused alone, while the neighbours' events go on", async () => {
  await using box = await startBox();
  await using app = await startApp(box, { app: "archive", filters: ["load/#"] });
  await using mqtt = await mqttPublisher(box, "press-mqtt");
  await using http = httpPublisher(box, "press-http");
  await using tcp = await mcpPublisher(box, "press-tcp", "tcp");
  const neighbours = [mqtt, http, tcp];
  await Promise.all(neighbours.map((neighbour) => neighbour.progress(20)));

  const { ports } = box;
  await Promise.all(
    [ports.mqtt, ports.http, ports.mcpTcp, ports.lines, ports.auto].map(async (port) => {
      for (const [, bytes] of ZOO) await throwAt(port, bytes);
    }),
  );
  await throwDatagrams(ports.mcpUdp);

  await Promise.all(neighbours.map((neighbour) => neighbour.progress(20)));
  await Promise.all(neighbours.map((neighbour) => neighbour.finish()));
  expect(http.failures).toBe(0);
  const { processes } = await box.readState();
  expect(processes.map(({ name, restarts }) => ({ name, restarts }))).toEqual(
    processes.map(({ name }) => ({ name, restarts: 0 })),
  );
  expect(await listenerMetrics(box)).toMatch(
    /myelin_listener_malformed_total\{[^}]*protocol="mqtt"[^}]*\} [1-9]/,
  );
  await app.receivedTexts(neighbours.reduce((sum, { acknowledged }) => sum + acknowledged.size, 0));
  expect((await box.settledLedger()).unaccounted).toBe(0);
});
