/** Who sends a request: from its URL and its Authorization header. */
import { AppError } from "@myelin/kernel";
import type { FastifyRequest } from "fastify";
import type { Credentials, Identity } from "../../core/admission.js";
import type { ProtocolContext } from "../../core/protocol.js";
import { connectionOf } from "./http-connection.js";

/** Longest device id, in UTF-8 bytes. */
const MAX_DEVICE_ID_BYTES = 256;

/**
 * Asks admission, once per connection, device and header as long as the rules stay.
 * @throws AppError `auth.*`, `limit.*`, `protocol.malformed`
 */
export function identify(
  ctx: ProtocolContext,
  request: FastifyRequest,
  deviceId: string,
): Identity | Promise<Identity> {
  const connection = connectionOf(request.raw.socket);
  const header = request.headers.authorization ?? "";
  const key = `${deviceId}\0${header}`;
  const { known } = connection;
  const { generation } = ctx.admission;
  if (known !== undefined && known.key === key && known.generation === generation) return known.identity;
  checkDeviceId(deviceId);
  const who = {
    protocol: "http",
    port: ctx.port,
    address: connection.address,
    deviceId,
    ...credentialsOf(header),
  };
  const verdict = ctx.admission.connect(who);
  const decide = (v: Awaited<typeof verdict>): Identity => {
    if (!v.allow) {
      ctx.metrics.refused.add(`http,${v.code}`);
      throw new AppError(v.code, `${deviceId} is not let in`);
    }
    connection.known = { key, generation, identity: v.identity };
    return v.identity;
  };
  return verdict instanceof Promise ? verdict.then(decide) : decide(verdict);
}

/** @throws AppError `protocol.malformed` */
export function checkDeviceId(deviceId: string): void {
  const bad =
    deviceId === "" || Buffer.byteLength(deviceId) > MAX_DEVICE_ID_BYTES || /\p{Cc}/u.test(deviceId);
  if (bad) {
    throw new AppError("protocol.malformed", "a device id is 1 to 256 bytes without control characters");
  }
}

/** What Basic cannot carry, so that a token is never mistaken for the password of a user. */
const TOKEN_USER = ":token";

/**
 * Basic and Bearer (RFC 7617, RFC 6750). A bearer token comes as the password of `:token`.
 * @throws AppError `auth.bad_credentials` for any other scheme
 */
export function credentialsOf(header: string): Pick<Credentials, "user" | "password"> {
  if (header === "") return {};
  const space = header.indexOf(" ");
  const scheme = header.slice(0, space).toLowerCase();
  const value = header.slice(space + 1).trim();
  if (scheme === "bearer") return { user: TOKEN_USER, password: Buffer.from(value) };
  if (scheme === "basic") {
    const pair = Buffer.from(value, "base64");
    const colon = pair.indexOf(0x3a);
    if (colon >= 0) return { user: pair.toString("utf8", 0, colon), password: pair.subarray(colon + 1) };
  }
  throw new AppError("auth.bad_credentials", "the Authorization header is neither Basic nor Bearer");
}
