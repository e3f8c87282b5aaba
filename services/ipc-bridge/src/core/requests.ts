/** Requests between apps, and between apps and the platform, over NATS. */
import type { Bus, Subscription } from "@myelin/bus";
import { app, subjects, toAppErrorMessage } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { PlatformMethods } from "./platform-method.js";
import type { AppSession } from "./session.js";
import type { BridgeSettings } from "./settings.js";

const TARGET = /^app:([^/]+)\/(.+)$/s;
const PLATFORM = "platform/";

/** What the broker needs of the bridge. */
export interface RequestPorts {
  readonly bus: Bus;
  readonly settings: BridgeSettings["calls"];
  readonly platform: PlatformMethods;
  /** Sessions of an app on this bridge. */
  sessionsOf(app: string): Iterable<AppSession>;
  refused(error: AppError): void;
}

/** Serves `appRequest(app)` for the apps that have a healthy instance here which answers something. */
export class Requests {
  readonly #ports: RequestPorts;
  readonly #served = new Map<string, Subscription>();
  #turn = 0;

  constructor(ports: RequestPorts) {
    this.#ports = ports;
  }

  /** Resolves always: what went wrong is in the response's error. */
  async fromApp(session: AppSession, request: app.Request): Promise<app.Response> {
    const { settings, refused } = this.#ports;
    try {
      if (session.pendingCalls > settings.maxPending) {
        throw new AppError("queue.full", `${settings.maxPending} calls of ${session.app} wait already`);
      }
      const timeoutMs = timeoutOf(request.timeoutMs, settings);
      if (request.target.startsWith(PLATFORM)) return await this.#askPlatform(session, request, timeoutMs);
      return await this.#askApp(session, request, timeoutMs);
    } catch (thrown) {
      const error = AppError.from(thrown);
      refused(error);
      return { id: request.id, payload: Buffer.alloc(0), contentType: "", error: toAppErrorMessage(error) };
    }
  }

  /** Begins or ends serving, after a change of sessions. */
  refresh(name: string): void {
    const wanted = this.#candidates(name).length > 0;
    const serving = this.#served.get(name);
    if (wanted && serving === undefined) {
      const options = { queue: name };
      this.#served.set(
        name,
        this.#ports.bus.serve(subjects.appRequest(name), (data) => this.#toApp(name, data), options),
      );
    } else if (!wanted && serving !== undefined) {
      this.#served.delete(name);
      // Not ended at once: a request that is on its way here gets an answer, not silence.
      void serving.drain();
    }
  }

  stop(): void {
    for (const serving of this.#served.values()) serving();
    this.#served.clear();
  }

  async #askPlatform(session: AppSession, request: app.Request, timeoutMs: number): Promise<app.Response> {
    const name = request.target.slice(PLATFORM.length);
    const method = this.#ports.platform.get(name);
    if (method === undefined) {
      const known = [...this.#ports.platform.keys()].join(", ");
      throw new AppError(
        "request.no_responder",
        `the platform has no method ${name.slice(0, 128)}; it has ${known}`,
      );
    }
    const answer = await method.call({ app: session.app, payload: Buffer.from(request.payload), timeoutMs });
    const payload = Buffer.from(JSON.stringify(answer));
    return { id: request.id, payload, contentType: "application/json", error: undefined };
  }

  async #askApp(session: AppSession, request: app.Request, timeoutMs: number): Promise<app.Response> {
    const match = TARGET.exec(request.target);
    if (match === null) {
      throw new AppError(
        "contract.bad_token",
        `request target ${JSON.stringify(request.target.slice(0, 128))} is neither app:<name>/<method> nor platform/<method>`,
      );
    }
    const [, name, method] = match as unknown as [string, string, string];
    const message: app.Request = { ...request, target: method, timeoutMs, from: session.app };
    const data = await this.#ports.bus.request(
      subjects.appRequest(name),
      app.Request.encode(message).finish(),
      timeoutMs,
    );
    return decodeResponse(data);
  }

  async #toApp(name: string, data: Uint8Array): Promise<Uint8Array> {
    const request = decodeRequest(data);
    const candidates = this.#candidates(name).filter((s) => s.serves.includes(request.target));
    const chosen = candidates[this.#turn++ % Math.max(1, candidates.length)];
    if (chosen === undefined) {
      throw new AppError(
        "request.no_responder",
        `no instance of ${name} here answers ${request.target.slice(0, 128)}`,
      );
    }
    const timeoutMs = timeoutOf(request.timeoutMs, this.#ports.settings);
    const response = await chosen.asked.call(timeoutMs, (id) => {
      chosen.send({ $case: "request", value: { ...request, id } });
    });
    return app.Response.encode(response).finish();
  }

  #candidates(name: string): AppSession[] {
    return [...this.#ports.sessionsOf(name)].filter((s) => s.takesWork && s.serves.length > 0);
  }
}

/** The wait in force: the asker's wish within the bridge's limit. */
export function timeoutOf(wishMs: number, settings: BridgeSettings["calls"]): number {
  return Math.min(wishMs || settings.defaultTimeoutMs, settings.maxTimeoutMs);
}

function decodeRequest(data: Uint8Array): app.Request {
  try {
    // Copied, because the bytes belong to the bus after the first await.
    return app.Request.decode(Buffer.from(data));
  } catch (cause) {
    throw new AppError("contract.bad_frame", "a request for an app cannot be decoded", { cause });
  }
}

function decodeResponse(data: Uint8Array): app.Response {
  try {
    return app.Response.decode(data);
  } catch (cause) {
    throw new AppError("contract.bad_frame", "the answer of an app cannot be decoded", { cause });
  }
}
