/** Requests to an InfluxDB server over its HTTP API (1.x). */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { AppError } from "@myelin/kernel";

/** Where the server is, and who asks. */
export interface InfluxdbServer {
  /** `http://host:8086`, or `https` for TLS, whose certificate is always checked. */
  readonly url: string;
  readonly database: string;
  readonly user?: string | undefined;
  /** Asked at each request. */
  readonly password?: (() => Promise<string>) | undefined;
  /** Authorities in PEM form; left out, those that Node.js knows. */
  readonly ca?: (() => Promise<string>) | undefined;
}

/** What one statement has found: rows of one series each. */
export interface Found {
  readonly columns: readonly string[];
  readonly values: readonly (readonly (number | string | null)[])[];
  readonly tags?: Readonly<Record<string, string>>;
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

const CONNECTIONS = 4;
const REQUEST_MS = 30_000;
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;

/** Connections are kept and made as needed. */
export class InfluxdbHttp {
  private readonly agent: HttpAgent;
  private readonly isTls: boolean;

  constructor(
    private readonly server: InfluxdbServer,
    private readonly name: string,
  ) {
    this.isTls = server.url.startsWith("https:");
    const options = { keepAlive: true, maxSockets: CONNECTIONS };
    this.agent = this.isTls ? new HttpsAgent(options) : new HttpAgent(options);
  }

  /** Resolves when the server has all lines on its disk. @throws AppError `store.*` */
  async write(lines: string): Promise<void> {
    const { status, body } = await this.post("/write", { db: this.server.database, precision: "ns" }, lines);
    if (status === 204) return;
    // Some of it may be stored; it comes again, and the same line is the same point.
    const code = status === 400 ? "store.write_failed" : "store.unavailable";
    throw new AppError(code, `${this.name} answers ${status}: ${body.slice(0, 300)}`);
  }

  /** Runs statements; one answer for each, in order. Times are microseconds. @throws AppError `store.unavailable` */
  async query(statements: readonly string[], isOfDatabase = true): Promise<readonly (readonly Found[])[]> {
    const q = new URLSearchParams({ q: statements.join(";") }).toString();
    const { status, body } = await this.post(
      "/query",
      { ...(isOfDatabase && { db: this.server.database }), epoch: "u" },
      q,
      "application/x-www-form-urlencoded",
    );
    const answer = tryParse(body);
    const problem = answer?.error ?? answer?.results?.find(({ error }) => error !== undefined)?.error;
    if (status !== 200 || answer?.results === undefined || problem !== undefined) {
      const text = problem ?? body.slice(0, 300);
      throw new AppError("store.unavailable", `${this.name} answers ${status}: ${text}`);
    }
    // Where there is nothing a list is left out, not empty.
    return answer.results.map(({ series = [] }) =>
      series.map(({ values = [], ...rest }) => ({ ...rest, values })),
    );
  }

  end(): void {
    this.agent.destroy();
  }

  private async post(
    path: string,
    parameters: Readonly<Record<string, string>>,
    body: string,
    type = "text/plain; charset=utf-8",
  ): Promise<Answer> {
    const { url, user, password, ca } = this.server;
    try {
      const secret = await password?.();
      const headers = { "content-type": type, "content-length": Buffer.byteLength(body) };
      const options = {
        method: "POST",
        agent: this.agent,
        headers,
        signal: AbortSignal.timeout(REQUEST_MS),
        ...(user !== undefined && { auth: `${user}:${secret ?? ""}` }),
        ...(ca !== undefined && { ca: await ca() }),
      };
      const target = new URL(`${path}?${new URLSearchParams(parameters).toString()}`, url);
      const response = await new Promise<IncomingMessage>((resolve, reject) => {
        const request = (this.isTls ? httpsRequest : httpRequest)(target, options, resolve);
        request.once("error", reject);
        request.end(body);
      });
      return { status: response.statusCode ?? 0, body: await textOf(response) };
    } catch (cause) {
      const { message } = cause as Error;
      throw new AppError("store.unavailable", `${this.name}: ${message}`, { cause });
    }
  }
}

async function textOf(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > MAX_ANSWER_BYTES) {
      response.destroy();
      throw new AppError("store.unavailable", `an answer of more than ${MAX_ANSWER_BYTES} bytes`);
    }
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

type FoundOrNot = Omit<Found, "values"> & Partial<Pick<Found, "values">>;

interface QueryAnswer {
  readonly error?: string;
  readonly results?: readonly { readonly error?: string; readonly series?: readonly FoundOrNot[] }[];
}

function tryParse(body: string): QueryAnswer | undefined {
  try {
    return JSON.parse(body) as QueryAnswer;
  } catch {
    return undefined;
  }
}
