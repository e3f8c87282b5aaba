/** Devices that report on a schedule, each on an MQTT connection of its own; spoken to by lines on standard input. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";

const [http, mqtt, devices, points, rate, profile = ""] = process.argv
  .slice(2)
  .map((text, i) => (i < 5 ? Number(text) : text)) as [number, number, number, number, number, string?];
const AT_ONCE = 100;
const IMPORT_TRIES = 300;
const CONNACK_BYTES = 4;

let sent = 0;
let skipped = 0;

/** The registry may not take anything yet. */
async function importDevices(): Promise<void> {
  let lines = "";
  for (let i = 0; i < devices; i++) lines += `${JSON.stringify({ id: `meter-${i}`, profile })}\n`;
  for (let attempt = 1; ; attempt++) {
    const answer = await fetch(`http://127.0.0.1:${http}/api/v1/devices`, {
      method: "POST",
      headers: { "content-type": "application/x-ndjson" },
      body: lines,
    }).catch(() => undefined);
    const text = await answer?.text();
    if (answer?.status === 200) return;
    if (attempt === IMPORT_TRIES) throw new Error(`the import was answered ${answer?.status}: ${text}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function withLength(type: number, body: Buffer): Buffer {
  const head = [type];
  let left = body.length;
  do {
    const digit = left % 128;
    left = Math.floor(left / 128);
    head.push(left > 0 ? digit | 128 : digit);
  } while (left > 0);
  return Buffer.concat([Buffer.from(head), body]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
}

async function connectDevice(number: number): Promise<Socket> {
  const socket = connect({ host: "127.0.0.1", port: mqtt, noDelay: true });
  await once(socket, "connect");
  const greeting = Buffer.concat([text("MQTT"), Buffer.from([4, 2, 0, 0]), text(`meter-${number}`)]);
  socket.write(withLength(0x10, greeting));
  const [answer] = (await once(socket, "data")) as [Buffer];
  if (answer.length < CONNACK_BYTES || answer[3] !== 0) throw new Error(`meter-${number} was refused`);
  socket.resume();
  return socket;
}

const topics = Array.from({ length: devices }, (_, i) => text(`meters/meter-${i}`));
const names = Array.from({ length: points }, (_, i) => `"p${i}":`);

/** Every value is another than before, so that nothing of it is left out as known. */
function report(number: number, turn: number): Buffer {
  let fields = "";
  for (let i = 0; i < points; i++)
    fields += `${i === 0 ? "{" : ","}${names[i]}${(turn * 7 + number + i) / 8}`;
  return withLength(0x30, Buffer.concat([topics[number]!, Buffer.from(`${fields}}`)]));
}

function tell(event: string): void {
  const { user, system } = process.cpuUsage();
  const time_ns = process.hrtime.bigint().toString();
  const cpu_seconds = (user + system) / 1e6;
  process.stdout.write(`${JSON.stringify({ event, sent, skipped, time_ns, cpu_seconds })}\n`);
}

if (profile !== "") await importDevices();
const sockets: Socket[] = [];
for (let from = 0; from < devices; from += AT_ONCE) {
  const some = Array.from({ length: Math.min(AT_ONCE, devices - from) }, (_, i) => connectDevice(from + i));
  sockets.push(...(await Promise.all(some)));
}

const startedNs = process.hrtime.bigint();
let due = 0;
/** By the schedule. A device whose connection does not take what it says leaves that reading out, as meters do; it is counted. */
function sendDue(): void {
  const until = Number(
    ((process.hrtime.bigint() - startedNs) * BigInt(rate)) / BigInt(points) / 1_000_000_000n,
  );
  for (; due < until; due++) {
    const number = due % devices;
    const socket = sockets[number]!;
    if (socket.writableNeedDrain) {
      skipped += points;
      continue;
    }
    socket.write(report(number, Math.floor(due / devices)));
    sent += points;
  }
}
const timer = setInterval(sendDue, 1);

tell("ready");
for await (const word of createInterface({ input: process.stdin })) {
  if (word === "stop") break;
  tell(word);
}
clearInterval(timer);
tell("done");
process.exit(0);
