/** Which carrier a URL asks for. */
import { AppError } from "@myelin/kernel";
import type { OpenLink } from "./transport.js";

const carriers: Readonly<Record<string, () => Promise<OpenLink>>> = {
  "tcp:": async () => (await import("./tcp.js")).openTcp,
  "udp:": async () => (await import("./udp.js")).openUdp,
  "ws:": async () => (await import("./websocket.js")).openWebSocket,
  "wss:": async () => (await import("./websocket.js")).openWebSocket,
};

/**
 * Checks a server's URL.
 * @throws AppError `config.invalid` for what is no URL, or one with another scheme than `tcp`, `udp`, `ws` or `wss`
 */
export function parseServerUrl(text: string | URL): URL {
  const url = URL.canParse(String(text)) ? new URL(text) : undefined;
  if (url === undefined || !Object.hasOwn(carriers, url.protocol) || url.hostname === "") {
    throw new AppError(
      "config.invalid",
      `${text} is no address of a server: give tcp://, udp://, ws:// or wss://`,
    );
  }
  return url;
}

/** The function that opens links to `url`, loaded when it is asked for. */
export function carrierOf(url: URL): Promise<OpenLink> {
  const load = carriers[url.protocol];
  if (load === undefined) throw new AppError("internal.unreachable", `no carrier for ${url.protocol}`);
  return load();
}
