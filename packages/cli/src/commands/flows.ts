/** `myelin flows`: flows and their runs. */
import {
  deploymentPartitions,
  FlowClient,
  type FlowRun,
  type FlowRunStatus,
  type FlowStep,
  flowRunJson,
} from "@myelin/bus";
import { AppError, systemClock } from "@myelin/kernel";
import type { ReachOptions } from "../box/connection.js";
import { EXIT, print, printable, printJson } from "../output.js";
import { withBus } from "./client.js";
import { needed, table } from "./operator-lists.js";

export interface FlowsOptions extends ReachOptions {
  readonly json: boolean;
  readonly tenant: string;
  readonly input: string;
  readonly priority?: string;
  readonly key?: string;
  readonly watch: boolean;
  readonly status: readonly string[];
  readonly limit: number;
}

const STATUSES: readonly FlowRunStatus[] = [
  "waiting",
  "running",
  "undoing",
  "succeeded",
  "failed",
  "cancelled",
];
const LOOK_MS = 10_000;

/** Exit code 1 where a run that was followed has not succeeded. @throws AppError `flow.*`, `config.invalid`, `bus.*` */
export async function flows(
  action: string,
  what: string | undefined,
  options: FlowsOptions,
): Promise<number> {
  return withBus(options, async (bus) => {
    const client = new FlowClient(bus, await deploymentPartitions(bus), systemClock);
    const { tenant, json } = options;
    switch (action) {
      case "run": {
        const run = await start(client, needed(what, "myelin flows run needs the name of a flow"), options);
        if (options.watch) return await watch(client, run, json);
        show(run, json);
        return EXIT.ok;
      }
      case "runs":
        return await showRuns(client, what, options);
      case "get":
        show(await client.get(tenant, idOf(what, action)), json);
        return EXIT.ok;
      case "watch":
        return await watch(client, await client.get(tenant, idOf(what, action)), json);
      case "cancel":
        show(await client.cancel(tenant, idOf(what, action), AUTHOR), json);
        return EXIT.ok;
      default:
        return await showFlows(client, options);
    }
  });
}

const AUTHOR = { kind: "user", name: "cli" } as const;

function idOf(what: string | undefined, action: string): string {
  return needed(what, `myelin flows ${action} needs the id of a run`);
}

async function start(client: FlowClient, flow: string, options: FlowsOptions): Promise<FlowRun> {
  const { tenant, key: idempotencyKey, priority } = options;
  if (priority !== undefined && !/^-?\d{1,3}$/.test(priority))
    throw new AppError("config.invalid", "--priority takes a whole number from -100 to 100");
  const wish = { tenant, flow, input: inputOf(options.input), idempotencyKey, author: AUTHOR };
  return await client.start({ ...wish, priority: priority === undefined ? undefined : Number(priority) });
}

function inputOf(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Told below, like a value that is no object.
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw new AppError("config.invalid", `--input takes a JSON object such as {"tank":"t1"}`);
}

async function showFlows(client: FlowClient, { tenant, json }: FlowsOptions): Promise<number> {
  const found = await client.flows(tenant);
  if (json) printJson({ flows: found });
  else
    table(
      ["flow", "input", "waiting", "running", "description"],
      found.map(({ name, inputs, waiting, running, description }) => [
        name,
        inputs.map((input) => `${input.name}${input.required ? "" : "?"}: ${input.type}`).join(", "),
        waiting,
        running,
        description,
      ]),
      "no flows",
    );
  return EXIT.ok;
}

async function showRuns(
  client: FlowClient,
  flow: string | undefined,
  { tenant, status, limit, json }: FlowsOptions,
): Promise<number> {
  const statuses = status.map((word) => {
    const found = STATUSES.find((one) => one === word);
    if (found === undefined)
      throw new AppError("config.invalid", `${word} is none of ${STATUSES.join(", ")}`);
    return found;
  });
  const { runs, more } = await client.list({ tenant, flow, statuses, limit });
  if (json) printJson({ runs: runs.map(flowRunJson), more });
  else
    table(
      ["run", "flow", "status", "priority", "created", "ended", "why"],
      runs.map((run) => [
        run.id,
        run.flow,
        run.status,
        run.priority,
        timeOf(run.createdAtUs),
        timeOf(run.endedAtUs),
        run.failure?.message ?? "",
      ]),
      "no runs",
    );
  return EXIT.ok;
}

async function watch(client: FlowClient, begin: FlowRun, json: boolean): Promise<number> {
  let run = begin;
  const told = new Map<string, string>();
  for (;;) {
    if (json) printJson(flowRunJson(run));
    else for (const step of run.steps) tell(step, told);
    if (run.isOver) break;
    run = await client.next(run.tenant, run.id, run.revision, LOOK_MS);
  }
  if (!json) show(run, false);
  return run.status === "succeeded" ? EXIT.ok : EXIT.failed;
}

/** A line for each thing that has changed. */
function tell(step: FlowStep, told: Map<string, string>): void {
  const text = lineOf(step);
  if (told.get(step.name) === text || step.status === "waiting") return;
  told.set(step.name, text);
  print(printable(text));
}

function lineOf({ name, status, tasks, failure }: FlowStep): string {
  const done = tasks.filter((task) => task.status === "succeeded").length;
  const undone = tasks.filter(({ undo }) => undo === "succeeded").length;
  const notes = [
    tasks.length > 1 ? `${done} of ${tasks.length} devices` : "",
    tasks.some(({ attempts }) => attempts > 1) ? `attempt ${Math.max(...tasks.map((t) => t.attempts))}` : "",
    undone > 0 ? "undone" : "",
    failure?.message ?? "",
  ].filter((note) => note !== "");
  return `${name}: ${status}${notes.length === 0 ? "" : ` (${notes.join("; ")})`}`;
}

function show(run: FlowRun, json: boolean): void {
  if (json) {
    printJson(flowRunJson(run));
    return;
  }
  const { id, flow, status, failure, outputs, steps } = run;
  print(printable(`${id} ${flow} ${status}${failure === undefined ? "" : `: ${failure.message}`}`));
  for (const step of steps) print(printable(`  ${lineOf(step)}`));
  if (Object.keys(outputs).length > 0) print(printable(`  outputs ${JSON.stringify(outputs)}`));
}

function timeOf(us: number | undefined): string {
  return us === undefined ? "" : new Date(us / 1_000).toISOString().slice(0, 19);
}
