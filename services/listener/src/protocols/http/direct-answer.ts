/** Answers written without the HTTP library, in the same terms as it writes them. */
import { STATUS_CODES } from "node:http";
import { JSON_TYPE } from "./body-type.js";
import { PROBLEM_TYPE, type Problem } from "./problem.js";

const ONE = JSON.stringify({ accepted: 1, rejected: 0 });

/** What a connection is told whose request was taken: the same bytes for a second, for all connections of a port. */
export class AcceptedAnswer {
  private second = -1;
  private bytes: Buffer = Buffer.alloc(0);

  /** @param keepAliveMs how long the connection may be silent */
  constructor(private readonly keepAliveMs: number) {}

  at(wallMs: number): Buffer {
    const second = Math.floor(wallMs / 1000);
    if (second !== this.second) {
      this.second = second;
      this.bytes = Buffer.from(
        responseOf(202, ONE, { "content-type": JSON_TYPE, ...this.connectionOf(true) }, wallMs),
        "latin1",
      );
    }
    return this.bytes;
  }

  /** The last answer of a connection. */
  last(wallMs: number): string {
    return responseOf(202, ONE, { "content-type": JSON_TYPE, ...this.connectionOf(false) }, wallMs);
  }

  problem(problem: Problem, wallMs: number, isKept: boolean): string {
    const { status, body, headers } = problem;
    return responseOf(
      status,
      body,
      { "content-type": PROBLEM_TYPE, ...headers, ...this.connectionOf(isKept) },
      wallMs,
    );
  }

  private connectionOf(isKept: boolean): Readonly<Record<string, string>> {
    if (!isKept) return { connection: "close" };
    return { connection: "keep-alive", "keep-alive": `timeout=${Math.floor(this.keepAliveMs / 1000)}` };
  }
}

/** A whole response (RFC 9112). */
function responseOf(
  status: number,
  body: string,
  headers: Readonly<Record<string, string | number>>,
  wallMs: number,
): string {
  const lines = [`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Error"}`];
  for (const name in headers) lines.push(`${name}: ${headers[name]}`);
  lines.push(
    `date: ${new Date(wallMs).toUTCString()}`,
    `content-length: ${Buffer.byteLength(body)}`,
    "",
    body,
  );
  return lines.join("\r\n");
}
