/** Turns any string into one NATS subject token that cannot widen or split a subject, and back. */
import { AppError } from "@myelin/kernel";

const SAFE = /^[A-Za-z0-9_-]+$/;
const TOKEN = /^(?:[A-Za-z0-9_-]|=[0-9A-F]{2})+$/;

/**
 * Longest token. The server takes no control line above 4 kB, and ends the connection of whoever sends one; with two user
 * strings in a subject there is room to spare.
 */
export const MAX_TOKEN_CHARS = 1024;

/**
 * Escapes a user-given string into one subject token: letters, digits, `-` and `_` stay; every other UTF-8 byte becomes
 * `=HH`; the empty string becomes `=`. Injective, so two names never meet in one subject.
 * @throws AppError `contract.bad_token` for text with a lone surrogate, which UTF-8 has no form for (all such names would
 * become one), and for text whose token is longer than MAX_TOKEN_CHARS
 */
export function escapeToken(text: string): string {
  if (text.length <= MAX_TOKEN_CHARS && SAFE.test(text)) return text;
  if (text === "") return "=";
  if (text.length > MAX_TOKEN_CHARS) throw tooLong(text.length);
  if (!text.isWellFormed())
    throw new AppError("contract.bad_token", "a name with half a character (a lone surrogate)");
  let out = "";
  for (const byte of Buffer.from(text, "utf8")) {
    const c = String.fromCharCode(byte);
    out += SAFE.test(c) ? c : `=${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  if (out.length > MAX_TOKEN_CHARS) throw tooLong(out.length);
  return out;
}

/** The string that `escapeToken` was given; undefined when the token is none of its results. */
export function unescapeToken(token: string): string | undefined {
  if (token === "=") return "";
  if (token.length > MAX_TOKEN_CHARS || !TOKEN.test(token)) return undefined;
  const bytes: number[] = [];
  for (let i = 0; i < token.length; i++) {
    if (token[i] === "=") {
      bytes.push(Number.parseInt(token.slice(i + 1, i + 3), 16));
      i += 2;
    } else bytes.push(token.charCodeAt(i));
  }
  const text = Buffer.from(bytes).toString("utf8");
  // Bytes that are not UTF-8, and bytes that need no escape, come from somewhere else.
  return escapeToken(text) === token ? text : undefined;
}

function tooLong(chars: number): AppError {
  return new AppError(
    "contract.bad_token",
    `a name takes ${chars} characters in a subject, at most ${MAX_TOKEN_CHARS} are possible`,
  );
}
