/** Which web pages may act as devices: browsers name a page's origin in what it sends, and only they do. */
import { isIP } from "node:net";
import { hostname } from "node:os";
import { array, string } from "@myelin/config";
import { AppError } from "@myelin/kernel";
import type { Identity } from "./admission.js";

const ORIGIN_PATTERN = "^(\\*|[a-z][a-z0-9+.\\-]*://[^/\\sA-Z]+)$";
const LOOPBACK: readonly string[] = ["localhost", "127.0.0.1", "[::1]"];

/** The setting of a port that browsers can reach. */
export const originsSchema = array(
  string({
    description: "Origin as browsers send it, or * for every page.",
    maxLength: 512,
    pattern: ORIGIN_PATTERN,
    rule: "an origin in lower case without a path, such as https://panel.example.com:8443, or *",
  }),
  {
    default: [],
    maxItems: 256,
    description:
      "Web pages, by origin, that may use this port; those of loopback always may, others get 403. With `*` any page that someone opens in a browser can act as a device: only where every client must log in. Clients that send no Origin header are not concerned.",
  },
);

/** Answers for the Origin header of a request; a missing header needs no question. */
export type OriginCheck = (origin: string) => boolean;

/** @param allowed as `originsSchema` has it */
export function originCheck(allowed: readonly string[]): OriginCheck {
  if (allowed.includes("*")) return () => true;
  const known = new Set(allowed);
  return (origin) => known.has(origin) || isLoopback(origin);
}

/** What a page is told that may not use the port. */
export function originRefused(): AppError {
  return new AppError("auth.not_authorized", "pages of this origin may not use this port");
}

/** Not for `null`, the origin of sandboxed pages and files: anyone can make such a page. */
function isLoopback(origin: string): boolean {
  return URL.canParse(origin) && LOOPBACK.includes(new URL(origin).hostname);
}

/**
 * Asked once per request, after admission: is the request meant for this machine?
 * @throws AppError `auth.not_authorized`
 */
export type HostCheck = (identity: Identity, host: string | undefined) => void;

/**
 * A page whose name its owner lets point to 127.0.0.1 comes from loopback too and, being of one origin with the port, sends no Origin
 * with a GET; but it cannot help sending its own name as Host. So whoever is trusted only for being on this machine must call it
 * by an address, a loopback name, the machine's own name, or the host of an allowed origin. A WebSocket needs no such check:
 * browsers always send Origin with it.
 * @param origins as `originsSchema` has it
 */
export function hostCheck(origins: readonly string[]): HostCheck {
  const known = new Set(origins.filter((origin) => origin !== "*").map((origin) => hostnameOf(origin)));
  let lastGood: string | undefined;
  return (identity, host) => {
    if (identity.local !== true || host === undefined || host === lastGood) return;
    const name = hostnameOf(`http://${host}`);
    if (!isOwnName(name) && !known.has(name)) {
      throw new AppError(
        "auth.not_authorized",
        "without a password this machine is called by an address or as localhost, not by the name in Host",
      );
    }
    lastGood = host;
  };
}

function isOwnName(name: string): boolean {
  if (name === "localhost" || name.endsWith(".localhost")) return true;
  const address = name.startsWith("[") ? name.slice(1, -1) : name;
  return isIP(address) !== 0 || name === hostname().toLowerCase();
}

/** Empty for what is no URL. */
function hostnameOf(url: string): string {
  return URL.canParse(url) ? new URL(url).hostname.replace(/\.$/, "") : "";
}
