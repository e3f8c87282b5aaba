/** Which web pages may act as devices: browsers name a page's origin in what it sends, and only they do. */
import { array, string } from "@myelin/config";
import { AppError } from "@myelin/kernel";

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
