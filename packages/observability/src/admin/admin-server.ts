/** The port for probes, metrics and questions about a process; never for devices. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { AppError, type Component, listenError } from "@myelin/kernel";
import type { Logger } from "../log/logger.js";
import type { MetricsRegistry } from "../metrics/registry.js";
import type { Health } from "./health.js";

/** `port` 0 takes a free one. `pages` adds read-only JSON answers, by path, for example `/resources`. */
export interface AdminServerOptions {
  readonly host: string;
  readonly port: number;
  readonly health: Health;
  readonly metrics: MetricsRegistry;
  readonly pages?: Readonly<Record<string, () => unknown>>;
  readonly log: Logger;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

// A scraper and a few people; whoever opens more gets no answer instead of our memory.
const MAX_CONNECTIONS = 64;

/** Answers `/livez`, `/readyz`, `/startupz` and `/metrics` with GET and HEAD. */
export class AdminServer implements Component {
  readonly name = "admin";
  readonly #options: AdminServerOptions;
  #server: Server | undefined;

  constructor(options: AdminServerOptions) {
    this.#options = options;
  }

  /** The port in use; undefined while it does not listen. */
  get port(): number | undefined {
    return (this.#server?.address() as AddressInfo | null | undefined)?.port;
  }

  /** @throws AppError `setup.port_in_use`, `setup.port_forbidden` or `lifecycle.start_failed`. */
  async start(): Promise<void> {
    const { host, port, log } = this.#options;
    const server = createServer({ headersTimeout: 5_000, requestTimeout: 10_000 }, (request, response) => {
      // What cannot even be answered with an error ends its own connection alone.
      this.#serve(request, response).catch(() => response.destroy());
    });
    server.maxConnections = MAX_CONNECTIONS;
    await new Promise<void>((resolve, reject) => {
      server.once("error", (cause) => reject(listenError(cause, "the admin port", `${host}:${port}`)));
      server.listen(port, host, resolve);
    });
    server.on("error", (err) => log.warn({ err }, "the admin port reports an error"));
    this.#server = server;
    log.info({ host, port: this.port }, "admin port listens");
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const answer = await this.#answer(request).catch((thrown) => {
      const error = AppError.from(thrown);
      this.#options.log.error({ err: error, path: request.url }, "the admin port cannot answer");
      return json(error.http, { error: error.toWire() });
    });
    response.writeHead(answer.status, {
      "content-type": answer.type,
      "content-length": Buffer.byteLength(answer.body),
      "cache-control": "no-store",
    });
    response.end(request.method === "HEAD" ? undefined : answer.body);
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    if (request.method !== "GET" && request.method !== "HEAD")
      return json(405, { error: "only GET and HEAD" });
    const path = (request.url ?? "/").split("?", 1)[0] as string;
    const { health, metrics, pages = {} } = this.#options;
    switch (path) {
      case "/livez":
        return json(200, { status: "ok", uptimeSeconds: Math.round(process.uptime()) });
      case "/readyz": {
        const report = health.report();
        return json(report.ready ? 200 : 503, report);
      }
      case "/startupz": {
        const report = health.report();
        return json(report.started ? 200 : 503, report);
      }
      case "/metrics":
        return { status: 200, type: metrics.contentType, body: await metrics.text() };
    }
    const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
    if (page !== undefined) return json(200, await page());
    const known = ["/livez", "/readyz", "/startupz", "/metrics", ...Object.keys(pages)];
    return json(404, { error: "no such page", pages: known });
  }
}

function json(status: number, body: unknown): Answer {
  return { status, type: "application/json; charset=utf-8", body: `${JSON.stringify(body)}\n` };
}
