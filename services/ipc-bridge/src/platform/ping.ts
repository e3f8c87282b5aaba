import type { PlatformContext, PlatformMethod } from "../core/platform-method.js";

/** `platform/ping`: who answers, and the time there. */
export function ping(context: PlatformContext): PlatformMethod {
  return {
    name: "ping",
    call: async () => ({ bridge: context.bridge, version: context.version, timeMs: context.wallMs() }),
  };
}
