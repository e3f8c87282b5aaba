/** Which endpoint a handshake asks for, and the answers to those that are refused. */
import { type IncomingMessage, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { MCP_WEBSOCKET_PROTOCOL } from "@myelin/contract";
import { AppError } from "@myelin/kernel";

const DEVICE_PATH = /^\/api\/v1\/devices\/([^/]+)\/ws$/;
const MQTT_PATH = "/mqtt";
const JSON_PROTOCOL = "myelin.json";
const MCP_PROTOCOLS: readonly string[] = ["mcp", MCP_WEBSOCKET_PROTOCOL];
const MQTT_PROTOCOLS: readonly string[] = ["mqtt", "mqttv3.1"];

/** What a client wants to speak; `protocol` is the sub-protocol to answer with, empty for none. */
export interface Endpoint {
  readonly kind: "json" | "mcp" | "mqtt";
  readonly protocol: string;
  /** Of the URL; empty for MQTT. */
  readonly deviceId: string;
}

/** @throws AppError `route.not_found`, `protocol.unsupported`, `protocol.malformed` */
export function endpointOf(request: IncomingMessage): Endpoint {
  const path = (request.url ?? "").split("?", 1)[0]!;
  const offered = (request.headers["sec-websocket-protocol"] ?? "")
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
  if (path === MQTT_PATH) {
    const protocol = offered.find((name) => MQTT_PROTOCOLS.includes(name));
    // MQTT 5, 6.0: a client must offer it; one that offers nothing is let in all the same.
    if (protocol === undefined && offered.length > 0) throw notSpoken(offered);
    return { kind: "mqtt", protocol: protocol ?? "", deviceId: "" };
  }
  const device = DEVICE_PATH.exec(path)?.[1];
  if (device === undefined) throw new AppError("route.not_found", `there is no WebSocket at ${path}`);
  const deviceId = decode(device);
  for (const protocol of offered) {
    if (MCP_PROTOCOLS.includes(protocol)) return { kind: "mcp", protocol, deviceId };
    if (protocol === JSON_PROTOCOL) return { kind: "json", protocol, deviceId };
  }
  if (offered.length > 0) throw notSpoken(offered);
  return { kind: "json", protocol: "", deviceId };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new AppError("protocol.malformed", "the device id in the URL is not UTF-8", { cause });
  }
}

function notSpoken(offered: readonly string[]): AppError {
  return new AppError(
    "protocol.unsupported",
    `none of the sub-protocols ${offered.join(", ")} is spoken here`,
  );
}

const STATUS: Readonly<Record<string, number>> = {
  "route.not_found": 404,
  "protocol.unsupported": 400,
  "protocol.malformed": 400,
};

/** Answers with problem details and closes. */
export function refuseHandshake(socket: Duplex, error: AppError): void {
  const status = STATUS[error.code] ?? error.http;
  const title = STATUS_CODES[status] ?? "Error";
  const body = JSON.stringify({
    type: `urn:myelin:error:${error.code}`,
    title,
    status,
    detail: error.message,
    code: error.code,
  });
  const head = [
    `HTTP/1.1 ${status} ${title}`,
    "content-type: application/problem+json",
    `content-length: ${Buffer.byteLength(body)}`,
    ...(status === 401 ? ['www-authenticate: Basic realm="myelin", charset="UTF-8"'] : []),
    "connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
}
