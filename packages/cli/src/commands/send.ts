/** `myelin send`: one reading as a device would send it, or a message to a connected device. */
import { deploymentPartitions } from "@myelin/bus";
import { app, control, expectNoPlatformTopic, partitionOf, subjects } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import { McpClient } from "@myelin/sdk-node";
import { type ReachOptions, reach } from "../box/connection.js";
import { EXIT, note, printJson } from "../output.js";
import { withBus } from "./client.js";

export const SEND_PROTOCOLS = ["http", "tcp", "udp", "websocket", "mqtt"] as const;

export interface SendOptions extends ReachOptions {
  readonly json: boolean;
  readonly protocol: (typeof SEND_PROTOCOLS)[number];
  readonly lane: "telemetry" | "event";
  readonly toDevice: boolean;
  readonly wait: boolean;
  /** Left out: JSON where the payload is JSON, else plain text. */
  readonly contentType?: string;
}

type Told = SendOptions & { readonly contentType: string };

/** What became of the message, for people. */
interface Outcome {
  readonly text: string;
  /** With `--wait`: whether the device has said that it has the message. */
  readonly acknowledged?: boolean;
}

const TIMEOUT_MS = 10_000;

/**
 * Fails (1) when an acknowledgement was asked for and the device is one that gives none: written is not acknowledged.
 * @throws AppError of the protocol's refusal, `device.not_connected`, `device.not_subscribed` and `request.timeout` with `--to-device`
 */
export async function send(
  device: string,
  path: string,
  payload: Buffer,
  options: SendOptions,
): Promise<number> {
  const began = performance.now();
  const told = { ...options, contentType: options.contentType ?? contentTypeOf(payload) };
  const { text, acknowledged } = options.toDevice
    ? await toDevice(device, path, payload, told)
    : { text: await fromDevice(device, path, payload, told) };
  const tookMs = performance.now() - began;
  const silent = acknowledged === false;
  if (options.json) printJson({ device, path, bytes: payload.length, outcome: text, acknowledged, tookMs });
  else note(`${text} after ${tookMs.toFixed(1)} ms${silent ? SILENT : ""}`);
  return silent ? EXIT.failed : EXIT.ok;
}

const SILENT =
  "; it acknowledges nothing, so nobody knows whether the device has it (an MQTT client does when it subscribes with QoS 1 or 2)";

function contentTypeOf(payload: Buffer): string {
  try {
    JSON.parse(payload.toString("utf8"));
    return "application/json";
  } catch {
    // Being no JSON is not wrong here.
    return "text/plain";
  }
}

async function toDevice(device: string, path: string, payload: Buffer, options: Told): Promise<Outcome> {
  expectNoPlatformTopic(path);
  return withBus(options, async (bus) => {
    const request = control.DownlinkRequest.fromPartial({
      deviceId: device,
      path,
      payload,
      contentType: options.contentType,
      waitForDevice: options.wait,
      timeoutMs: TIMEOUT_MS,
    });
    const answer = await bus.request(
      subjects.downlink(partitionOf("", device, await deploymentPartitions(bus))),
      control.DownlinkRequest.encode(request).finish(),
      TIMEOUT_MS + 1_000,
    );
    const result = control.DownlinkResult.decode(answer);
    if (result.error !== undefined) {
      throw AppError.fromWire({
        code: result.error.code,
        message: result.error.message,
        retryable: result.error.retryable,
      });
    }
    const acknowledged = result.state === app.SendState.ACKNOWLEDGED;
    const text = acknowledged ? "acknowledged by the device" : "written to the device's connection";
    return options.wait ? { text, acknowledged } : { text };
  });
}

async function fromDevice(device: string, path: string, payload: Buffer, options: Told): Promise<string> {
  const { box } = await reach(options);
  if (box === undefined) {
    throw new AppError("config.invalid", "Sending as a device needs a box here: name it with --data-dir.");
  }
  if (options.protocol === "http") return overHttp(device, path, payload, box.ports.http, options);
  if (options.protocol === "mqtt") return overMqtt(device, path, payload, box.ports.mqtt, options);
  const url = {
    tcp: `tcp://127.0.0.1:${box.ports.mcpTcp}`,
    udp: `udp://127.0.0.1:${box.ports.mcpUdp}`,
    websocket: `ws://127.0.0.1:${box.ports.http}/api/v1/devices/${encodeURIComponent(device)}/ws`,
  }[options.protocol];
  const client = new McpClient({ url, deviceId: device });
  try {
    await client.start(AbortSignal.timeout(TIMEOUT_MS));
    await client.send(path, payload, { lane: options.lane, contentType: options.contentType });
  } finally {
    await client.stop();
  }
  return options.lane === "event" ? "stored" : "sent";
}

async function overHttp(
  device: string,
  path: string,
  payload: Buffer,
  port: number,
  options: Told,
): Promise<string> {
  const levels = path.split("/").map(encodeURIComponent).join("/");
  const url = `http://127.0.0.1:${port}/api/v1/devices/${encodeURIComponent(device)}/messages/${levels}?lane=${options.lane}`;
  const answer = await fetch(url, {
    method: "POST",
    body: new Uint8Array(payload),
    headers: { "content-type": options.contentType },
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (answer.ok) return options.lane === "event" ? "stored" : "taken";
  const problem = (await answer.json()) as { code?: string; detail?: string; title?: string };
  throw AppError.fromWire({
    code: problem.code ?? "internal.unexpected",
    message: problem.detail ?? problem.title ?? `HTTP ${answer.status}`,
    retryable: answer.status >= 500,
  });
}

async function overMqtt(
  device: string,
  path: string,
  payload: Buffer,
  port: number,
  options: Told,
): Promise<string> {
  const { connectAsync } = await import("mqtt");
  const client = await connectAsync({
    protocol: "mqtt",
    host: "127.0.0.1",
    port,
    clientId: device,
    protocolVersion: 5,
    connectTimeout: TIMEOUT_MS,
    reconnectPeriod: 0,
  });
  try {
    await client.publishAsync(path, payload, {
      qos: options.lane === "event" ? 1 : 0,
      properties: { contentType: options.contentType },
    });
  } finally {
    await client.endAsync();
  }
  return options.lane === "event" ? "stored" : "sent";
}
