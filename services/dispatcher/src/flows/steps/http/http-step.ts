/** Makes an HTTP request. */
import { resolveSecret, type SecretReference } from "@myelin/config";
import { expectText, MAX_VALUE_BYTES, type Outcome, type Values } from "@myelin/flows";
import { AppError, CircuitBreaker } from "@myelin/kernel";
import {
  failed,
  type StepAction,
  type StepAttempt,
  type StepPlugin,
  type StepTools,
  unknown,
} from "../step.js";

interface HttpSpec {
  readonly method: "GET" | "PUT" | "POST" | "PATCH" | "DELETE";
  readonly url: unknown;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly bearer?: SecretReference;
  readonly body: Values;
  readonly repeats: "never" | "keyed";
}

const MAX_ORIGINS = 256;
const BREAK = { failures: 5, pause: { initialMs: 1_000, maxMs: 60_000 } };
/** Requests that may be made again by their definition (RFC 9110, 9.2.2). */
const IDEMPOTENT = new Set(["GET", "PUT", "DELETE"]);
/** Before anything was sent. */
const NOT_SENT = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
]);
/** Answers that say that nothing was done, and that it may be asked again. */
const LATER = new Set([408, 425, 429, 503]);

class HttpStep implements StepAction {
  readonly #circuits = new Map<string, CircuitBreaker>();

  constructor(private readonly tools: StepTools) {}

  repeats(spec: Values): boolean {
    const { method, repeats } = spec as unknown as HttpSpec;
    return repeats === "keyed" || IDEMPOTENT.has(method);
  }

  async perform(spec: Values, attempt: StepAttempt): Promise<Outcome> {
    const { method, headers, bearer, body } = spec as unknown as HttpSpec;
    const url = urlOf(expectText(spec.url, "the URL"));
    const all = new Headers({ accept: "application/json", "idempotency-key": attempt.key });
    for (const [name, value] of Object.entries(headers))
      all.set(name, expectText(value, `the header ${name}`));
    if (bearer !== undefined) all.set("authorization", `Bearer ${(await resolveSecret(bearer)).reveal()}`);
    const hasBody = method !== "GET" && method !== "DELETE" && Object.keys(body).length > 0;
    if (hasBody) all.set("content-type", "application/json");
    const circuit = this.#circuitOf(url.origin);
    if (!circuit.tryAcquire())
      throw new AppError("operation.circuit_open", `${url.origin} failed repeatedly and is left alone`);
    const init = { method, headers: all, signal: attempt.signal, redirect: "manual" as const };
    try {
      const response = await fetch(url, hasBody ? { ...init, body: JSON.stringify(body) } : init);
      const outcome = await this.#read(response, this.repeats(spec), url);
      if (response.status >= 500) circuit.failed();
      else circuit.succeeded();
      return outcome;
    } catch (cause) {
      if (attempt.signal.aborted) circuit.released();
      else circuit.failed();
      return this.#lost(cause, this.repeats(spec), attempt, url);
    }
  }

  async #read(response: Response, isRepeatable: boolean, url: URL): Promise<Outcome> {
    const { status } = response;
    if (status >= 200 && status < 300) {
      const text = await limited(response);
      return {
        kind: "succeeded",
        result: { status, body: bodyOf(text, response.headers.get("content-type")) },
      };
    }
    await response.body?.cancel();
    const message = `${url.origin}${url.pathname} answered ${status}`;
    if (status >= 500 && !LATER.has(status) && !isRepeatable) return unknown(message);
    const retryable = LATER.has(status) || status >= 500;
    return { kind: "failed", failure: { code: "flow.step_failed", message }, retryable };
  }

  #lost(thrown: unknown, isRepeatable: boolean, { signal }: StepAttempt, url: URL): Outcome {
    if (AppError.is(thrown)) return failed(thrown);
    const code = (thrown as { cause?: { code?: unknown } }).cause?.code;
    const message = `no answer of ${url.origin}${url.pathname}: ${signal.aborted ? AppError.from(signal.reason).message : String(code ?? thrown)}`;
    const isCertain = isRepeatable || (typeof code === "string" && NOT_SENT.has(code));
    if (!isCertain) return unknown(message);
    return { kind: "failed", failure: { code: "flow.step_failed", message }, retryable: true };
  }

  #circuitOf(origin: string): CircuitBreaker {
    const known = this.#circuits.get(origin);
    if (known !== undefined) return known;
    if (this.#circuits.size >= MAX_ORIGINS)
      this.#circuits.delete(this.#circuits.keys().next().value as string);
    const made = new CircuitBreaker({ name: origin, ...BREAK, clock: this.tools.clock });
    this.#circuits.set(origin, made);
    return made;
  }
}

function urlOf(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === "https:" || url?.protocol === "http:") return url;
  throw new AppError("expression.failed", "the URL is none of http or https");
}

/** @throws AppError `flow.invalid` for an answer that is too large to be kept */
async function limited(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > MAX_VALUE_BYTES)
      throw new AppError("flow.invalid", `an answer of more than ${MAX_VALUE_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function bodyOf(text: string, type: string | null): unknown {
  if (text === "") return null;
  if (type === null || !/[/+]json\b/.test(type)) return text;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // It says that it is JSON, and is not: the flow sees the text.
    return text;
  }
}

export const plugin: StepPlugin = { kind: "http", create: (tools) => new HttpStep(tools) };
