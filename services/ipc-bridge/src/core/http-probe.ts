/** GET on an app's health address. */
import { get as getHttp } from "node:http";
import { get as getHttps } from "node:https";
import type { HealthProbe } from "./health.js";

/** Follows no redirect and reads no body: the status says it all, and the address came from outside. */
export const httpProbe: HealthProbe = (url, timeoutMs) =>
  new Promise((resolve) => {
    const get = url.startsWith("https:") ? getHttps : getHttp;
    const signal = AbortSignal.timeout(timeoutMs);
    const request = get(url, { signal, headers: { connection: "close" } }, (response) => {
      const status = response.statusCode ?? 0;
      response.destroy();
      resolve(status >= 200 && status < 300);
    });
    request.on("error", () => resolve(false));
  });
