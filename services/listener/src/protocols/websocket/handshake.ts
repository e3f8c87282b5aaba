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
const CREDENTIALS = /^myelin\.(basic|bearer)\.([A-Za-z0-9_-]+)$/;

/** What a client wants to speak; `protocol` is the sub-protocol to answer with, empty for none. */
export interface Endpoint {
  readonly kind: "json" | "mcp" | "mqtt";
  readonly protocol: string;
  /** Of the URL; empty for MQTT. */
  readonly deviceId: string;
  /** As the value of an Authorization header; empty when the client has shown nothing. */
  readonly authorization: string;
}

/**
 * A web page cannot set Authorization on a WebSocket, so its credentials may come among the sub-protocols it offers, beside the one it
 * wants to speak: `myelin.basic.` or `myelin.bearer.` and user:password or token in base64url. They are never answered with nor told
 * in an error. The URL is no place for them: logs and histories keep it.
 * @throws AppError `route.not_found`, `protocol.unsupported`, `protocol.malformed`
 */
export function endpointOf(request: IncomingMessage): Endpoint {
  const path = (request.url ?? "").split("?", 1)[0]!;
  let authorization = request.headers.authorization ?? "";
  const offered: string[] = [];
  let hasCredentials = false;
  for (const name of (request.headers["sec-websocket-protocol"] ?? "").split(",").map((n) => n.trim())) {
    const [, scheme, value = ""] = CREDENTIALS.exec(name) ?? [];
    if (scheme === undefined) {
      if (name !== "") offered.push(name);
      continue;
    }
    hasCredentials = true;
    if (authorization !== "") continue;
    authorization = scheme === "basic" ? `Basic ${value}` : `Bearer ${Buffer.from(value, "base64url")}`;
  }
  // Browsers close a WebSocket whose server answers with none of the protocols they offered, and credentials are no answer.
  if (hasCredentials && offered.length === 0) {
    throw new AppError("protocol.unsupported", "credentials are no sub-protocol: offer one beside them");
  }
  if (path === MQTT_PATH) {
    const protocol = offered.find((name) => MQTT_PROTOCOLS.includes(name));
    // MQTT 5, 6.0: a client must offer it; one that offers nothing is let in all the same.
    if (protocol === undefined && offered.length > 0) throw notSpoken(offered);
    return { kind: "mqtt", protocol: protocol ?? "", deviceId: "", authorization };
  }
  const device = DEVICE_PATH.exec(path)?.[1];
  if (device === undefined) throw new AppError("route.not_found", `there is no WebSocket at ${path}`);
  const deviceId = decode(device);
  for (const protocol of offered) {
    if (MCP_PROTOCOLS.includes(protocol)) return { kind: "mcp", protocol, deviceId, authorization };
    if (protocol === JSON_PROTOCOL) return { kind: "json", protocol, deviceId, authorization };
  }
  if (offered.length > 0) throw notSpoken(offered);
  return { kind: "json", protocol: "", deviceId, authorization };
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
  socket.end(refusalOf(error));
}

/** The response, after which the connection ends. */
export function refusalOf(error: AppError): Buffer {
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
  return Buffer.from(`${head.join("\r\n")}\r\n\r\n${body}`);
}
