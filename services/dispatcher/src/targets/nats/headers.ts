/** The head of a message as NATS headers. */
import type { BatchView } from "@myelin/contract";
import { kindWord, protocolWord } from "../../core/words.js";

/** Headers of the view's current envelope. What is not set is left out. */
export function messageHeaders(view: BatchView): Record<string, string> {
  const head = view.head();
  const headers: Record<string, string> = {
    "Nats-Msg-Id": view.id().toString("hex"),
    "Myelin-Device": headerText(head.deviceId),
    "Myelin-Path": headerText(head.path),
    "Myelin-Kind": kindWord(head.kind),
    "Myelin-Protocol": protocolWord(head.protocol),
    "Myelin-Time-Us": String(view.ingestTimeUs),
  };
  if (head.tenant !== "") headers["Myelin-Tenant"] = headerText(head.tenant);
  if (head.contentType !== "") headers["Content-Type"] = headerText(head.contentType);
  if (view.traceparent !== "") headers.traceparent = headerText(view.traceparent);
  return headers;
}

/** Printable ASCII stays; the bytes of everything else, and `%`, become `%HH`, so that no text can end a header line. */
export function headerText(text: string): string {
  if (/^[\x20-\x24\x26-\x7e]*$/.test(text)) return text;
  let out = "";
  for (const byte of Buffer.from(text, "utf8")) {
    out +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return out;
}
