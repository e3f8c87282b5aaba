/** Many large events in few requests. */
import type { Received } from "./app.js";
import type { Box } from "./box.js";

/** What a request with many events was answered: the status, and how many of them were taken. */
export interface FloodAnswer {
  readonly status: number;
  readonly accepted: number;
  readonly codes: readonly string[];
}

/** Posts events `from` to `from + count - 1` of a device, `bytes` each, as lines of one request. */
export async function flood(
  box: Box,
  device: string,
  from: number,
  count: number,
  bytes: number,
): Promise<FloodAnswer> {
  const padding = "x".repeat(bytes);
  const lines = Array.from({ length: count }, (_, at) => `{"n":${from + at},"padding":"${padding}"}\n`);
  const answer = await fetch(`${box.httpUrl}/devices/${device}/messages/flood`, {
    method: "POST",
    body: lines.join(""),
    headers: { "content-type": "application/x-ndjson" },
    signal: AbortSignal.timeout(60_000),
  });
  const body = (await answer.json()) as {
    accepted?: number;
    code?: string;
    errors?: readonly { code?: string }[];
  };
  const codes = [body.code, ...(body.errors ?? []).map(({ code }) => code)].filter(
    (code) => code !== undefined,
  );
  return { status: answer.status, accepted: body.accepted ?? 0, codes: [...new Set(codes)] };
}

/** The numbers of flooded events, in the order in which they were received. */
export function floodNumbers(received: readonly Received[]): number[] {
  return received.flatMap(({ text }) => {
    const found = /^\{"n":(\d+)/.exec(text)?.[1];
    return found === undefined ? [] : [Number(found)];
  });
}
