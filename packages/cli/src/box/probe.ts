/** Small questions over loopback HTTP, without fetch: its library would be the supervisor's largest part. */
import { get } from "node:http";

const PROBE_TIMEOUT_MS = 1_000;

/** True when `http://127.0.0.1:port/path` answers 200 within a second. */
export function answersOk(port: number, path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get(
      { host: "127.0.0.1", port, path, timeout: PROBE_TIMEOUT_MS, agent: false },
      (answer) => {
        answer.resume();
        resolve(answer.statusCode === 200);
      },
    );
    request.once("timeout", () => request.destroy());
    request.once("error", () => resolve(false));
  });
}
