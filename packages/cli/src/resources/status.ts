/** What the processes say of resources, put together. */
import type { Bus } from "@myelin/bus";
import type { ParsedDocument } from "@myelin/config";
import { subjects, resource as wire } from "@myelin/contract";
import { AppError } from "@myelin/kernel";

/** As in Kubernetes. */
export type ConditionStatus = "True" | "False" | "Unknown";

/** One condition, over all processes that tell it: the worst that any of them says, and who says so. */
export interface Condition {
  readonly type: string;
  readonly status: ConditionStatus;
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
  /** RFC 3339; since then the status is this. */
  readonly lastTransitionTime: string;
  readonly instances: readonly string[];
}

/** By `kind/name`; `files` are problems with files that are no resources at all. */
export interface Statuses {
  readonly conditions: ReadonlyMap<string, readonly Condition[]>;
  /** What is counted of it, over all processes. */
  readonly figures: ReadonlyMap<string, Figures>;
  readonly files: readonly string[];
  readonly instances: readonly string[];
}

/** By name. */
export type Figures = Readonly<Record<string, number>>;

interface Said {
  readonly instance: string;
  readonly condition: wire.Condition;
}

const ANSWER_WITHIN_MS = 2_000;
const MAX_PAGES = 1_000;
/** Questions stay well below what NATS takes in a message. */
const MAX_CHECK_BYTES = 256 * 1024;
const WORST_FIRST: readonly ConditionStatus[] = ["False", "Unknown", "True"];
const NAMES: Readonly<Record<number, ConditionStatus>> = {
  [wire.ConditionStatus.TRUE]: "True",
  [wire.ConditionStatus.FALSE]: "False",
};

/** Asks every process that follows resources. Nobody there: nothing is said of anything. @throws AppError `bus.disconnected` */
export async function readStatuses(bus: Bus): Promise<Statuses> {
  const reports: wire.Report[] = [];
  let after = "";
  for (let page = 0; page < MAX_PAGES; page++) {
    const query = wire.Query.encode(wire.Query.fromPartial({ after })).finish();
    const answers = await bus.requestMany(subjects.resourceQuery(), query, { timeoutMs: ANSWER_WITHIN_MS });
    const came = answers.map((bytes) => wire.Report.decode(bytes));
    reports.push(...came);
    const [next] = came
      .map((report) => report.next)
      .filter((key) => key !== "")
      .sort();
    if (next === undefined) break;
    after = next;
  }
  return combine(reports);
}

/** Reports may overlap: of one that comes twice the later counts. */
export function combine(reports: readonly wire.Report[]): Statuses {
  const said = new Map<string, Map<string, Said>>();
  const figures = new Map<string, Map<string, wire.Figure>>();
  const files = new Set<string>();
  for (const { instance, resources } of reports) {
    for (const { kind, name, source, conditions, figures: counted } of resources) {
      if (kind === "" || name === "") {
        for (const { message } of conditions) files.add(message);
        continue;
      }
      const key = `${kind}/${name}`;
      const own = said.get(key) ?? new Map<string, Said>();
      said.set(key, own);
      for (const condition of conditions)
        own.set(JSON.stringify([instance, source, condition.type]), { instance, condition });
      if (counted.length === 0) continue;
      const numbers = figures.get(key) ?? new Map<string, wire.Figure>();
      figures.set(key, numbers);
      for (const figure of counted) numbers.set(JSON.stringify([instance, source, figure.name]), figure);
    }
  }
  const conditions = new Map([...said].map(([key, own]) => [key, worst([...own.values()])]));
  return {
    conditions,
    figures: new Map([...figures].map(([key, own]) => [key, sumOf([...own.values()])])),
    files: [...files].sort(),
    instances: [...new Set(reports.map((r) => r.instance))].sort(),
  };
}

function sumOf(all: readonly wire.Figure[]): Figures {
  const sums: Record<string, number> = {};
  for (const { name, value } of all) sums[name] = (sums[name] ?? 0) + value;
  return sums;
}

function worst(said: readonly Said[]): readonly Condition[] {
  const byType = Map.groupBy(said, ({ condition }) => condition.type);
  return [...byType]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([type, all]) => {
      const rank = ({ condition }: Said): number => WORST_FIRST.indexOf(statusOf(condition));
      const [first] = all.sort((a, b) => rank(a) - rank(b) || b.condition.sinceUs - a.condition.sinceUs);
      const { condition } = first as Said;
      const status = statusOf(condition);
      return {
        type,
        status,
        reason: condition.reason,
        message: condition.message,
        observedGeneration: condition.observedGeneration,
        lastTransitionTime: new Date(condition.sinceUs / 1000).toISOString(),
        instances: all
          .filter((other) => statusOf(other.condition) === status)
          .map(({ instance }) => instance)
          .sort(),
      };
    });
}

function statusOf({ status }: wire.Condition): ConditionStatus {
  return NAMES[status] ?? "Unknown";
}

/**
 * Asks the processes whether they could put these in force; nothing is changed.
 * @throws AppError `config.invalid_resource` with what they refuse; `bus.disconnected`
 */
export async function checkRemotely(bus: Bus, documents: readonly ParsedDocument[]): Promise<void> {
  const refusals = new Set<string>();
  for (const resources of inPortions(documents.map(({ value }) => Buffer.from(JSON.stringify(value))))) {
    const question = wire.Check.encode({ resources }).finish();
    const answers = await bus.requestMany(subjects.resourceCheck(), question, {
      timeoutMs: ANSWER_WITHIN_MS,
    });
    for (const bytes of answers) {
      const { instance, refusals: own } = wire.Verdict.decode(bytes);
      for (const { kind, name, message } of own) refusals.add(`  ${kind} ${name}: ${message} (${instance})`);
    }
  }
  if (refusals.size === 0) return;
  throw new AppError(
    "config.invalid_resource",
    `resources were refused by those that would act on them\n${[...refusals].sort().join("\n")}`,
  );
}

function* inPortions(all: readonly Buffer[]): Generator<Buffer[]> {
  let portion: Buffer[] = [];
  let bytes = 0;
  for (const one of all) {
    if (portion.length > 0 && bytes + one.length > MAX_CHECK_BYTES) {
      yield portion;
      portion = [];
      bytes = 0;
    }
    portion.push(one);
    bytes += one.length;
  }
  if (portion.length > 0) yield portion;
}
