/** Requests in both directions and messages for devices. */
import { type app, encodeAppFrame, fromAppErrorMessage, toAppErrorMessage } from "@myelin/contract";
import { AppError, CallTable, CircuitBreaker, type Clock } from "@myelin/kernel";
import { toPayload } from "../payload.js";
import type { Connection, Frame } from "./connection.js";

/** The answer to a request. */
export class Reply {
  readonly payload: Buffer;
  readonly contentType: string;

  constructor(payload: Uint8Array, contentType: string) {
    this.payload = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
    this.contentType = contentType;
  }

  text(): string {
    return this.payload.toString("utf8");
  }

  /** @throws SyntaxError when the payload is no JSON */
  json(): unknown {
    return JSON.parse(this.text());
  }
}

/** A request that this app answers; `from` is the app that asks, as the bridge says. */
export class IncomingRequest extends Reply {
  readonly name: string;
  readonly from: string;
  readonly timeoutMs: number;
  readonly traceparent: string;

  constructor(request: app.Request) {
    super(request.payload, request.contentType);
    this.name = request.target;
    this.from = request.from;
    this.timeoutMs = request.timeoutMs;
    this.traceparent = request.traceparent;
  }
}

/** Answers with bytes, a string, or an object that is sent as JSON; nothing is an empty answer. */
export type RequestHandler = (request: IncomingRequest) => unknown;

/** What the calls need of the client. */
export interface CallPorts {
  readonly clock: Clock;
  /** Resolves with the connection, waiting for one within the time. */
  connection(timeoutMs: number): Promise<Connection>;
  onError(error: AppError): void;
}

const MAX_PENDING = 1_024;
const MAX_BREAKERS = 256;
/** After so many failures in a row a target is left alone for a while. */
const FAILURES = 5;
const PAUSE = { initialMs: 1_000, maxMs: 30_000 } as const;

/** Open calls fail when the connection goes: whether the other side did something is then unknown. */
export class Calls {
  readonly #ports: CallPorts;
  readonly #requests: CallTable<app.Response>;
  readonly #sends: CallTable<app.SendResult>;
  readonly #breakers = new Map<string, CircuitBreaker>();
  readonly #handlers = new Map<string, RequestHandler>();
  /** Requests of others that run here. */
  serving = 0;

  constructor(ports: CallPorts) {
    this.#ports = ports;
    const { clock } = ports;
    this.#requests = new CallTable({ clock, maxPending: MAX_PENDING, what: "a request" });
    this.#sends = new CallTable({ clock, maxPending: MAX_PENDING, what: "a message for a device" });
  }

  /** Calls that wait for their answer, in both directions. */
  get open(): number {
    return this.#requests.size + this.#sends.size + this.serving;
  }

  get serves(): readonly string[] {
    return [...this.#handlers.keys()];
  }

  /** Targets whose circuit is open at the moment. */
  get openCircuits(): readonly string[] {
    return [...this.#breakers].filter(([, breaker]) => breaker.state !== "closed").map(([target]) => target);
  }

  serve(name: string, handler: RequestHandler): void {
    this.#handlers.set(name, handler);
  }

  async request(message: Omit<app.Request, "id" | "from">): Promise<Reply> {
    const { target, timeoutMs } = message;
    const response = await this.#guarded(target, timeoutMs, (connection) =>
      this.#requests.call(timeoutMs, (id) => {
        send(connection, { $case: "request", value: { ...message, id, from: "" } });
      }),
    );
    return new Reply(response.payload, response.contentType);
  }

  async send(message: Omit<app.SendToDevice, "id">): Promise<app.SendState> {
    const result = await this.#guarded("devices", message.timeoutMs, (connection) =>
      this.#sends.call(message.timeoutMs, (id) => {
        send(connection, { $case: "send", value: { ...message, id } });
      }),
    );
    return result.state;
  }

  response(response: app.Response): void {
    this.#requests.answer(response.id, response);
  }

  sendResult(result: app.SendResult): void {
    this.#sends.answer(result.id, result);
  }

  /** Runs the handler for a request of another app and answers on the connection it came by. */
  async incoming(request: app.Request, connection: Connection): Promise<void> {
    this.serving += 1;
    const response = await this.#respond(request);
    this.serving -= 1;
    const { id } = request;
    try {
      send(connection, { $case: "response", value: { ...response, id } });
    } catch (thrown) {
      const error = AppError.from(thrown);
      this.#ports.onError(error);
      connection.send({ $case: "response", value: { ...failure(error), id } });
    }
  }

  disconnected(error: AppError): void {
    this.#requests.failAll(error);
    this.#sends.failAll(error);
  }

  async #respond(request: app.Request): Promise<Omit<app.Response, "id">> {
    try {
      const handler = this.#handlers.get(request.target);
      if (handler === undefined) {
        throw new AppError("request.no_responder", `this app does not answer ${request.target}`);
      }
      const answer = await handler(new IncomingRequest(request));
      const { payload, contentType } = toPayload(answer ?? "");
      return { payload, contentType, error: undefined };
    } catch (thrown) {
      const error = AppError.wrap("app.handler_failed", messageOf(thrown), thrown);
      this.#ports.onError(error);
      return failure(error);
    }
  }

  async #guarded<T extends { error?: app.AppError | undefined }>(
    target: string,
    timeoutMs: number,
    call: (connection: Connection) => Promise<T>,
  ): Promise<T> {
    const breaker = this.#breakerOf(target);
    if (!breaker.tryAcquire()) {
      throw new AppError(
        "operation.circuit_open",
        `${target} failed repeatedly and is left alone for a moment`,
      );
    }
    try {
      const answer = await call(await this.#ports.connection(timeoutMs));
      if (answer.error !== undefined) throw fromAppErrorMessage(answer.error);
      breaker.succeeded();
      return answer;
    } catch (thrown) {
      const error = AppError.from(thrown);
      // That one device is not connected says nothing about the way to the others.
      if (error.code === "device.not_connected" || error.code === "device.left") breaker.succeeded();
      else if (error.family === "caller") breaker.released();
      else breaker.failed();
      throw error;
    }
  }

  #breakerOf(target: string): CircuitBreaker {
    let breaker = this.#breakers.get(target);
    if (breaker === undefined) {
      for (const oldest of this.#breakers.keys()) {
        if (this.#breakers.size < MAX_BREAKERS) break;
        this.#breakers.delete(oldest);
      }
      const { clock } = this.#ports;
      breaker = new CircuitBreaker({ name: target, failures: FAILURES, pause: PAUSE, clock });
      this.#breakers.set(target, breaker);
    }
    return breaker;
  }
}

function failure(error: AppError): Omit<app.Response, "id"> {
  return { payload: Buffer.alloc(0), contentType: "", error: toAppErrorMessage(error) };
}

/** @throws AppError `contract.frame_too_large` for what the bridge would end the stream for */
function send(connection: Connection, frame: Frame): void {
  const bytes = encodeAppFrame(frame);
  const refusal = connection.tooLarge(bytes);
  if (refusal !== undefined) throw refusal;
  connection.sendBytes(bytes);
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
