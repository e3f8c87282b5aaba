/** Checks what an app says first, and what it subscribes to. */
import { urlToHttpOptions } from "node:url";
import { APP_PROTOCOL_VERSION, type app, isTopicFilter, MAX_HEAD_STRING_BYTES } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { Credit } from "./deliveries.js";
import type { BridgeSettings } from "./settings.js";

const MAX_NAME_LENGTH = 128;
const MAX_SUBSCRIPTIONS = 1_000;
const MAX_LIST = 1_000;
const MAX_SERVES = 256;

// Names become labels, tokens and file names: printable, no space at the ends, no path separators.
const NAME = /^[\p{L}\p{N}_](?:[\p{L}\p{N}_. :@-]*[\p{L}\p{N}_])?$/u;

/** @throws AppError `contract.unsupported_version`, `contract.bad_token`, `app.protocol` */
export function checkHello(hello: app.AppHello): void {
  if (hello.version !== APP_PROTOCOL_VERSION) {
    throw new AppError(
      "contract.unsupported_version",
      `the app speaks version ${hello.version}, this bridge ${APP_PROTOCOL_VERSION}`,
      { details: { version: hello.version, supported: [APP_PROTOCOL_VERSION] } },
    );
  }
  checkName("app", hello.app);
  if (hello.instance !== "") checkName("instance", hello.instance);
  if (hello.serves.length > MAX_SERVES) throw tooMany("serves", hello.serves.length, MAX_SERVES);
  for (const name of hello.serves) checkName("serves", name);
  checkSubscriptions(hello.subscriptions);
  if (hello.healthUrl !== "") checkUrl(hello.healthUrl);
}

/** @throws AppError `app.protocol`, `contract.bad_token` */
export function checkSubscriptions(subscriptions: readonly app.Subscription[]): void {
  if (subscriptions.length > MAX_SUBSCRIPTIONS) {
    throw tooMany("subscriptions", subscriptions.length, MAX_SUBSCRIPTIONS);
  }
  for (const { filter, deviceIds, kinds, protocols, ports } of subscriptions) {
    if (!isTopicFilter(filter) || Buffer.byteLength(filter) > MAX_HEAD_STRING_BYTES) {
      const shown = filter.slice(0, 200);
      throw new AppError(
        "contract.bad_token",
        `subscription filter ${JSON.stringify(shown)} is no MQTT filter`,
        {
          details: { filter: shown },
        },
      );
    }
    for (const list of [deviceIds, kinds, protocols, ports]) {
      if (list.length > MAX_LIST)
        throw tooMany(`conditions of ${filter.slice(0, 200)}`, list.length, MAX_LIST);
    }
  }
}

/** The window in force: the app's wish within the bridge's limits, the default where it has none. */
export function creditOf(wish: Credit, settings: BridgeSettings["credit"]): Credit {
  const { defaultEnvelopes, maxEnvelopes, defaultBytes, maxBytes } = settings;
  return {
    envelopes: Math.min(wish.envelopes || defaultEnvelopes, maxEnvelopes),
    bytes: Math.min(wish.bytes || defaultBytes, maxBytes),
  };
}

function checkName(field: string, name: string): void {
  if (name.length <= MAX_NAME_LENGTH && NAME.test(name)) return;
  throw new AppError(
    "contract.bad_token",
    `${field} ${JSON.stringify(name.slice(0, MAX_NAME_LENGTH))} is no name: 1 to ${MAX_NAME_LENGTH} letters, digits and _ . : @ - inside`,
    { details: { field } },
  );
}

function checkUrl(url: string): void {
  let cause: unknown;
  try {
    const parsed = new URL(url);
    // A user name may be a legal part of a URL and yet nothing that can be sent.
    urlToHttpOptions(parsed);
    if (parsed.protocol === "http:" || parsed.protocol === "https:") return;
  } catch (thrown) {
    cause = thrown;
  }
  throw new AppError("app.protocol", "health_url is not an http or https address", {
    details: { field: "health_url" },
    cause,
  });
}

function tooMany(what: string, count: number, limit: number): AppError {
  return new AppError("app.protocol", `${count} ${what} are more than ${limit}`, {
    details: { count, limit },
  });
}
