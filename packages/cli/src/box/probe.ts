/** Small questions over loopback HTTP, without fetch: its library would be the supervisor's largest part. */
import { get } from "node:http";

const PROBE_TIMEOUT_MS = 1_000;

/** True when `http://127.0.0.1:port/path` answers 200 within a second. */
export async function answersOk(port: number, path: string): Promise<boolean> {
  return (await statusOf(port, path, PROBE_TIMEOUT_MS)) === 200;
}

/** True when it answers at all, whatever, within `timeoutMs`. */
export async function answersAnything(port: number, path: string, timeoutMs: number): Promise<boolean> {
  return (await statusOf(port, path, timeoutMs)) !== undefined;
}

function statusOf(port: number, path: string, timeoutMs: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const request = get({ host: "127.0.0.1", port, path, timeout: timeoutMs, agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    });
    request.once("timeout", () => request.destroy());
    request.once("error", () => resolve(undefined));
  });
}
