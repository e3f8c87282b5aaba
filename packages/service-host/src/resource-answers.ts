/** Answers what became of the resources that this process follows, and whether it could do what others would ask for. */
import type { Bus, Unsubscribe } from "@myelin/bus";
import { checkResource, formatResourceProblem, type Resource, type ResourceStatus } from "@myelin/config";
import { subjects, resource as wire } from "@myelin/contract";
import { AppError, type Clock } from "@myelin/kernel";

/** What whoever acts on a resource says of it. `reason` is an error code or a word in CamelCase. */
export interface ResourceCondition {
  readonly kind: string;
  readonly name: string;
  /** `Ready`: what the resource asks for is done. */
  readonly type: string;
  readonly status: boolean | "unknown";
  readonly reason: string;
  readonly message: string;
  /** Of the spec that this is said of, see `generationOf`. */
  readonly generation: number;
  /** Unix milliseconds since which the status is this. */
  readonly sinceMs: number;
}

/** What whoever acts on a resource counts: words in camelCase that end in what is counted, as `queuedMessages`. */
export interface ResourceFigures {
  readonly kind: string;
  readonly name: string;
  readonly figures: Readonly<Record<string, number>>;
}

/** Why a resource that is correct in itself could not be put in force here. */
export interface ResourceRefusal {
  readonly kind: string;
  readonly name: string;
  readonly error: AppError;
}

/** `conditions` and `figures` are asked per query, `check` per question; it changes nothing. */
export interface ResourceAnswersOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly statuses: () => readonly ResourceStatus[];
  readonly conditions?: (() => readonly ResourceCondition[]) | undefined;
  readonly figures?: (() => readonly ResourceFigures[]) | undefined;
  readonly check?: ((resources: readonly Resource[]) => Promise<readonly ResourceRefusal[]>) | undefined;
}

/** Answers stay well below what NATS takes in a message. */
const MAX_REPORT_BYTES = 256 * 1024;
const MAX_MESSAGE_CHARS = 4_096;
const STATUS = {
  true: wire.ConditionStatus.TRUE,
  false: wire.ConditionStatus.FALSE,
  unknown: wire.ConditionStatus.UNKNOWN,
} as const;

interface Since {
  readonly isAccepted: boolean;
  readonly sinceMs: number;
}

/** One per process and source. */
export class ResourceAnswers {
  readonly #options: ResourceAnswersOptions;
  /** Since when each resource has been accepted, or refused. */
  #since: ReadonlyMap<string, Since> = new Map();
  #ends: readonly Unsubscribe[] = [];

  constructor(options: ResourceAnswersOptions) {
    this.#options = options;
  }

  /** Begins to answer. */
  start(): void {
    const { bus } = this.#options;
    this.#ends = [
      bus.serve(subjects.resourceQuery(), (data) =>
        wire.Report.encode(this.report(wire.Query.decode(data))).finish(),
      ),
      bus.serve(subjects.resourceCheck(), async (data) =>
        wire.Verdict.encode(await this.#judge(wire.Check.decode(data))).finish(),
      ),
    ];
  }

  stop(): void {
    for (const end of this.#ends) end();
    this.#ends = [];
  }

  /** Notes since when things are as they are; called with every change of a status. */
  note(statuses: readonly ResourceStatus[]): void {
    const now = this.#options.clock.wallUs() / 1000;
    const since = new Map<string, Since>();
    for (const status of statuses) {
      const key = keyOf(status);
      const isAccepted = status.state === "active";
      const before = this.#since.get(key);
      since.set(key, before?.isAccepted === isAccepted ? before : { isAccepted, sinceMs: now });
    }
    this.#since = since;
  }

  /** One page of what became of the resources that are asked for. */
  report({ kind, name, after }: wire.Query): wire.Report {
    const { bus, statuses, conditions, figures } = this.#options;
    const said = Map.groupBy(conditions?.() ?? [], (c) => `${c.kind}/${c.name}`);
    const counted = new Map(figures?.().map((f) => [`${f.kind}/${f.name}`, f.figures]));
    const wanted = statuses()
      .filter((s) => (kind === "" || s.kind === kind) && (name === "" || s.name === name))
      .map((status) => ({ key: keyOf(status), status }))
      .filter(({ key }) => key > after)
      .sort((a, b) => (a.key < b.key ? -1 : 1));
    const resources: wire.Resource[] = [];
    let bytes = 0;
    let next = "";
    for (const { key, status } of wanted) {
      const own = `${status.kind}/${status.name}`;
      const entry = this.#entry(key, status, said.get(own) ?? [], counted.get(own) ?? {});
      bytes += wire.Resource.encode(entry).finish().length;
      if (bytes > MAX_REPORT_BYTES && resources.length > 0) {
        next = keyOf(resources.at(-1) as wire.Resource);
        break;
      }
      resources.push(entry);
    }
    return { instance: bus.instance, incarnation: bus.incarnation, resources, next };
  }

  #entry(
    key: string,
    status: ResourceStatus,
    said: readonly ResourceCondition[],
    counted: Readonly<Record<string, number>>,
  ): wire.Resource {
    const { kind, name, source, state, generation } = status;
    const accepted: wire.Condition = {
      type: "Accepted",
      status: state === "active" ? STATUS.true : STATUS.false,
      ...acceptance(status),
      observedGeneration: generation,
      sinceUs: Math.round((this.#since.get(key)?.sinceMs ?? 0) * 1000),
    };
    // Of several declarations of one name, what is done belongs to the one in force.
    if (state === "refused") return { kind, name, source, conditions: [accepted], figures: [] };
    const figures = Object.entries(counted).map(([figure, value]) => ({ name: figure, value }));
    return { kind, name, source, conditions: [accepted, ...said.map(encodeCondition)], figures };
  }

  async #judge({ resources }: wire.Check): Promise<wire.Verdict> {
    const good: Resource[] = [];
    const refusals: wire.Refusal[] = [];
    for (const bytes of resources) {
      const value: unknown = tryParse(bytes);
      const { resource, problems } = checkResource(value);
      if (resource !== undefined) good.push(resource);
      else refusals.push(refusalOf(value, problems[0]?.rule ?? ""));
    }
    for (const { kind, name, error } of (await this.#options.check?.(good)) ?? [])
      refusals.push({ kind, name, code: error.code, message: shorten(error.message) });
    return { instance: this.#options.bus.instance, refusals };
  }
}

function keyOf({ kind, name, source }: { kind: string; name: string; source: string }): string {
  return `${kind}/${name}/${source}`;
}

function acceptance({ state, problems }: ResourceStatus): { reason: string; message: string } {
  if (state === "active") return { reason: "Valid", message: "" };
  const kept = state === "stale" ? "; an earlier version is in force" : "";
  if (problems.length === 0)
    return { reason: "FileRefused", message: `another document of its file is refused${kept}` };
  return { reason: "Invalid", message: shorten(problems.map(formatResourceProblem).join("\n") + kept) };
}

function encodeCondition({
  type,
  status,
  reason,
  message,
  generation,
  sinceMs,
}: ResourceCondition): wire.Condition {
  return {
    type,
    status: STATUS[`${status}`],
    reason: inCamelCase(reason),
    message: shorten(message),
    observedGeneration: generation,
    sinceUs: Math.round(sinceMs * 1000),
  };
}

/** Error codes have dots and underscores, which reasons of conditions must not have. */
function inCamelCase(word: string): string {
  return word
    .split(/[._]/)
    .map((part) => part.charAt(0).toUpperCase() + part.slice(1))
    .join("");
}

function shorten(text: string): string {
  return text.length > MAX_MESSAGE_CHARS ? `${text.slice(0, MAX_MESSAGE_CHARS - 1)}…` : text;
}

function tryParse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch {
    // What is no JSON is no resource either, and is refused as one.
    return undefined;
  }
}

function refusalOf(value: unknown, rule: string): wire.Refusal {
  const { kind = "", metadata } = (value ?? {}) as { kind?: unknown; metadata?: { name?: unknown } };
  const error = new AppError("config.invalid_resource", `this version refuses it: must be ${rule}`);
  return { kind: String(kind), name: String(metadata?.name ?? ""), code: error.code, message: error.message };
}
