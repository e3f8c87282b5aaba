/** Turns any string into one NATS subject token that cannot widen or split a subject, and back. */

const SAFE = /^[A-Za-z0-9_-]+$/;

/**
 * Escapes a user-given string into one subject token: letters, digits, `-` and `_` stay; every other UTF-8 byte becomes
 * `=HH`; the empty string becomes `=`. Injective, so two names never meet in one subject. Lone surrogates become U+FFFD
 * first, as UTF-8 has no form for them.
 */
export function escapeToken(text: string): string {
  if (SAFE.test(text)) return text;
  if (text === "") return "=";
  let out = "";
  for (const byte of Buffer.from(text, "utf8")) {
    const c = String.fromCharCode(byte);
    out += SAFE.test(c) ? c : `=${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return out;
}

/** The string that `escapeToken` was given; undefined when the token is none of its results. */
export function unescapeToken(token: string): string | undefined {
  if (token === "=") return "";
  if (!/^(?:[A-Za-z0-9_-]|=[0-9A-F]{2})+$/.test(token)) return undefined;
  const bytes: number[] = [];
  for (let i = 0; i < token.length; i++) {
    if (token[i] === "=") {
      bytes.push(Number.parseInt(token.slice(i + 1, i + 3), 16));
      i += 2;
    } else bytes.push(token.charCodeAt(i));
  }
  const text = Buffer.from(bytes).toString("utf8");
  return escapeToken(text) === token ? text : undefined;
}
