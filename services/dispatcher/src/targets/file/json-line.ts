/** One message as one line of JSON. */
import type { BatchView } from "@myelin/contract";
import { kindWord, protocolWord } from "../../core/words.js";

/** The view's current envelope with a line break at the end. Fields that are not set are left out. */
export function toJsonLine(view: BatchView): string {
  const head = view.head();
  const fields: Record<string, unknown> = {
    id: view.id().toString("hex"),
    tenant: head.tenant || undefined,
    device: head.deviceId,
    path: head.path,
    kind: kindWord(head.kind) || undefined,
    protocol: protocolWord(head.protocol) || undefined,
    contentType: head.contentType || undefined,
    port: head.port || undefined,
    profile: head.profile || undefined,
    sourceTimeUs: view.sourceTimeUs || undefined,
    ingestTimeUs: view.ingestTimeUs || undefined,
    replayed: view.replayed || undefined,
  };
  const payload = view.payload();
  const json = jsonText(payload);
  if (json === undefined)
    return `${JSON.stringify({ ...fields, payloadBase64: payload.toString("base64") })}\n`;
  // The payload's own text, so that numbers keep their digits.
  return `${JSON.stringify(fields).slice(0, -1)},"payload":${json}}\n`;
}

/** The payload as JSON text on one line; undefined when it is no JSON. */
function jsonText(payload: Buffer): string | undefined {
  if (payload.length === 0) return undefined;
  const text = payload.toString("utf8");
  try {
    JSON.parse(text);
  } catch {
    return undefined;
  }
  // Bytes that are not UTF-8 were replaced while decoding: then the text is not what was sent.
  if (Buffer.byteLength(text) !== payload.length) return undefined;
  // Line breaks stand only between tokens in valid JSON.
  return text.replace(/[\r\n]/g, " ").trim();
}
