/** What HTTP requests say about who sends them. */
import { AppError } from "@myelin/kernel";
import type { Credentials } from "./admission.js";

/** Longest device id, in UTF-8 bytes. */
const MAX_DEVICE_ID_BYTES = 256;

/** @throws AppError `protocol.malformed` */
export function checkDeviceId(deviceId: string): void {
  const bad =
    deviceId === "" || Buffer.byteLength(deviceId) > MAX_DEVICE_ID_BYTES || /\p{Cc}/u.test(deviceId);
  if (bad) {
    throw new AppError("protocol.malformed", "a device id is 1 to 256 bytes without control characters");
  }
}

/** The user of whoever shows a token. Basic cannot carry it, so that a token is never mistaken for the password of a user. */
export const TOKEN_USER = ":token";

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
