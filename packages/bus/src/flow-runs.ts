/** What programs ask of flows and their runs: each by the owner of the flow's partition. */
import { createHash, randomBytes } from "node:crypto";
import { type EnumName, enumNames, partitionOf, subjects, flow as wire } from "@myelin/contract";
import { AppError, type Clock } from "@myelin/kernel";
import type { Bus } from "./api.js";

const statuses = enumNames(wire.Status);
const stepStatuses = enumNames(wire.StepStatus);
const taskStatuses = enumNames(wire.TaskStatus);

/** How a run stands. */
export type FlowRunStatus = EnumName<typeof wire.Status>;

/** Why something went wrong. */
export interface FlowFailure {
  readonly code: string;
  readonly message: string;
}

/** Who starts or cancels a run. */
export interface FlowAuthor {
  readonly kind: "user" | "app" | "rule" | "flow";
  readonly name: string;
}

/** A run that somebody wants. */
export interface FlowWish {
  /** Empty: the default one. */
  readonly tenant: string;
  readonly flow: string;
  readonly input?: Readonly<Record<string, unknown>>;
  /** -100 to 100; left out, that of the flow. */
  readonly priority?: number | undefined;
  /** Per tenant and flow: the same one again gives the run that was made the first time, as long as that is known. */
  readonly idempotencyKey?: string | undefined;
  readonly author: FlowAuthor;
  /** How many flows have started each other up to this run. */
  readonly depth?: number;
}

/** A step, or its part for one device. */
export interface FlowTask {
  /** The device; empty where the step is not over devices. */
  readonly item: string;
  readonly status: EnumName<typeof wire.TaskStatus>;
  readonly attempts: number;
  readonly failure: FlowFailure | undefined;
  /** Absent: nothing was undone. */
  readonly undo: EnumName<typeof wire.TaskStatus> | undefined;
  readonly undoFailure: FlowFailure | undefined;
}

/** A step of a run. */
export interface FlowStep {
  readonly name: string;
  readonly status: EnumName<typeof wire.StepStatus>;
  readonly begunAtUs: number | undefined;
  readonly endedAtUs: number | undefined;
  readonly outputs: Readonly<Record<string, unknown>>;
  readonly failure: FlowFailure | undefined;
  readonly tasks: readonly FlowTask[];
}

/** A run as programs see it. */
export interface FlowRun {
  readonly id: string;
  readonly tenant: string;
  readonly flow: string;
  readonly input: Readonly<Record<string, unknown>>;
  readonly priority: number;
  readonly author: FlowAuthor;
  readonly createdAtUs: number;
  readonly begunAtUs: number | undefined;
  readonly endedAtUs: number | undefined;
  readonly status: FlowRunStatus;
  /** Nothing more happens to it. */
  readonly isOver: boolean;
  readonly failure: FlowFailure | undefined;
  readonly outputs: Readonly<Record<string, unknown>>;
  /** None in lists. */
  readonly steps: readonly FlowStep[];
  /** Grows with all that happens to the run. */
  readonly revision: number;
}

/** A flow that can be started. */
export type FlowInfo = wire.Flow;

/** Which runs; all that is given must hold. */
export interface FlowRunFilter {
  readonly tenant: string;
  readonly flow?: string | undefined;
  readonly statuses?: readonly FlowRunStatus[];
  readonly limit: number;
  /** Those behind this one in the list. */
  readonly after?: Pick<FlowRun, "id" | "createdAtUs"> | undefined;
}

/** What a device is awaited to say. */
export interface AwaitedMessage {
  readonly tenant: string;
  readonly device: string;
  /** What has come is remembered under it. */
  readonly key: string;
  /** Topic filters of messages; none: points. */
  readonly topics: readonly string[];
  /** CEL; empty: whatever comes. */
  readonly when: string;
}

const ANSWER_WITHIN_MS = 10_000;
const HOLD_MS = 2_000;
const TRIES = 40;
const RETRY_MS = 250;
const MAX_PAGE = 500;
const MAX_KEY_CHARS = 256;

/** One per program. All of it throws AppError `bus.disconnected`, `request.timeout`, `request.no_responder` besides what is said. */
export class FlowClient {
  constructor(
    private readonly bus: Pick<Bus, "request">,
    private readonly partitions: number,
    private readonly clock: Pick<Clock, "nowMs" | "sleep">,
  ) {}

  /**
   * Resolves when the run is stored: from then on it ends in one state, whatever dies.
   * @throws AppError `flow.unknown`, `flow.invalid`, `flow.key_reused`, `queue.full`
   */
  async start(wish: FlowWish): Promise<FlowRun> {
    const { tenant, flow, input = {}, priority, idempotencyKey = "", author, depth = 0 } = wish;
    if (idempotencyKey.length > MAX_KEY_CHARS)
      throw new AppError("flow.invalid", `an idempotency key has ${MAX_KEY_CHARS} characters at most`);
    const partition = this.#home(flow);
    const id = `${partition}-${idempotencyKey === "" ? randomBytes(12).toString("hex") : keyed(tenant, flow, idempotencyKey)}`;
    const value = { id, tenant, flow, input: JSON.stringify(input), priority, author: { ...author }, depth };
    return await this.#run(partition, { $case: "start", value }, 0);
  }

  /** @throws AppError `flow.unknown` */
  async get(tenant: string, id: string): Promise<FlowRun> {
    const value = { tenant, id, revision: 0, waitMs: 0 };
    return await this.#run(this.#partitionOf(id), { $case: "get", value }, 0);
  }

  /**
   * Resolves as soon as more has happened to the run than `revision`, it has ended, or `waitMs` has passed.
   * @throws AppError `flow.unknown`
   */
  async next(
    tenant: string,
    id: string,
    revision: number,
    waitMs: number,
    signal?: AbortSignal,
  ): Promise<FlowRun> {
    const partition = this.#partitionOf(id);
    const untilMs = this.clock.nowMs() + waitMs;
    for (;;) {
      signal?.throwIfAborted();
      // In pieces: whoever waits learns of a new owner of the partition.
      const left = Math.max(0, Math.min(HOLD_MS, Math.ceil(untilMs - this.clock.nowMs())));
      const run = await this.#run(
        partition,
        { $case: "get", value: { tenant, id, revision, waitMs: left } },
        left,
      );
      if (run.revision > revision || run.isOver || this.clock.nowMs() >= untilMs) return run;
    }
  }

  /** Nothing further is begun when this resolves, and what was done will be undone. @throws AppError `flow.unknown`, `flow.ended` */
  async cancel(tenant: string, id: string, author: FlowAuthor): Promise<FlowRun> {
    const value = { tenant, id, author: { ...author } };
    return await this.#run(this.#partitionOf(id), { $case: "cancel", value }, 0);
  }

  /** A page, the newest first; of one flow, or of all. */
  async list(filter: FlowRunFilter): Promise<{ readonly runs: readonly FlowRun[]; readonly more: boolean }> {
    const { tenant, flow = "", after } = filter;
    const limit = Math.min(filter.limit, MAX_PAGE);
    const value: wire.List = {
      tenant,
      flow,
      statuses: (filter.statuses ?? []).map((status) => statuses.toWire(status)),
      beforeUs: after?.createdAtUs ?? 0,
      beforeId: after?.id ?? "",
      limit,
    };
    const asked = flow === "" ? this.#all() : [this.#home(flow)];
    const pages = await Promise.all(
      asked.map(async (partition) =>
        wire.RunList.decode(await this.#ask(partition, { $case: "list", value }, 0)),
      ),
    );
    const all = pages.flatMap(({ runs }) => runs.map(runFromWire)).sort(isNewerRun);
    return { runs: all.slice(0, limit), more: all.length > limit || pages.some(({ more }) => more) };
  }

  /** The flows that can be started, by name. */
  async flows(tenant: string): Promise<readonly FlowInfo[]> {
    const lists = await Promise.all(
      this.#all().map(async (partition) =>
        wire.FlowList.decode(await this.#ask(partition, { $case: "describe", value: { tenant } }, 0)),
      ),
    );
    return lists.flatMap(({ flows }) => flows).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /**
   * Resolves with what has come, or with undefined when `signal` aborts. It is waited for at the owner of the device's partition, which
   * remembers for a minute what has come: asking again under the same key finds it.
   */
  async awaited(wanted: AwaitedMessage, signal: AbortSignal): Promise<unknown> {
    const { tenant, device } = wanted;
    const partition = partitionOf(tenant, device, this.partitions);
    const value = { ...wanted, topics: [...wanted.topics], waitMs: HOLD_MS };
    while (!signal.aborted) {
      const data = await this.#ask(partition, { $case: "await", value }, HOLD_MS);
      const { hasCome, result } = wire.Awaited.decode(data);
      if (hasCome) return JSON.parse(result);
    }
    return undefined;
  }

  #all(): readonly number[] {
    return Array.from({ length: this.partitions }, (_, partition) => partition);
  }

  #home(flow: string): number {
    return flowPartition(flow, this.partitions);
  }

  #partitionOf(id: string): number {
    const partition = Number(/^(\d{1,5})-[0-9a-f]{24}$/.exec(id)?.[1] ?? Number.NaN);
    if (partition < this.partitions) return partition;
    throw new AppError("flow.unknown", `${id.slice(0, 64)} is no id of a run`);
  }

  async #run(partition: number, request: wire.Request["request"], waitMs: number): Promise<FlowRun> {
    return runFromWire(wire.Run.decode(await this.#ask(partition, request, waitMs)));
  }

  /** All of it may be asked twice: a run is made once under its id. */
  async #ask(partition: number, request: wire.Request["request"], waitMs: number): Promise<Uint8Array> {
    const data = wire.Request.encode({ partition, request }).finish();
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.bus.request(subjects.flowRequest(partition), data, waitMs + ANSWER_WITHIN_MS);
      } catch (thrown) {
        const isNobody = AppError.is(thrown) && thrown.code === "request.no_responder";
        if (!isNobody || attempt === TRIES) throw thrown;
      }
      await this.clock.sleep(RETRY_MS);
    }
  }
}

/** Where the runs of a flow live. */
export function flowPartition(flow: string, partitions: number): number {
  return partitionOf("", `flow/${flow}`, partitions);
}

function keyed(...parts: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 24);
}

/** The newest first; of those made at once, by their ids. */
export function isNewerRun(
  a: Pick<FlowRun, "id" | "createdAtUs">,
  b: Pick<FlowRun, "id" | "createdAtUs">,
): number {
  return b.createdAtUs - a.createdAtUs || (a.id < b.id ? 1 : a.id > b.id ? -1 : 0);
}

function runFromWire(run: wire.Run): FlowRun {
  const { header, steps, begunAtUs, endedAtUs, failure, outputs, revision } = run;
  const status = statuses.fromWire(run.status) ?? "failed";
  return {
    id: header?.id ?? "",
    tenant: header?.tenant ?? "",
    flow: header?.flow ?? "",
    input: objectOf(header?.input ?? ""),
    priority: header?.priority ?? 0,
    author: {
      kind: (header?.author?.kind ?? "user") as FlowAuthor["kind"],
      name: header?.author?.name ?? "",
    },
    createdAtUs: header?.createdAtUs ?? 0,
    begunAtUs: begunAtUs || undefined,
    endedAtUs: endedAtUs || undefined,
    status,
    isOver: status === "succeeded" || status === "failed" || status === "cancelled",
    failure,
    outputs: objectOf(outputs),
    steps: steps.map(stepFromWire),
    revision,
  };
}

function stepFromWire({ name, status, begunAtUs, endedAtUs, outputs, failure, tasks }: wire.Step): FlowStep {
  return {
    name,
    status: stepStatuses.fromWire(status) ?? "failed",
    begunAtUs: begunAtUs || undefined,
    endedAtUs: endedAtUs || undefined,
    outputs: objectOf(outputs),
    failure,
    tasks: tasks.map(({ item, status: of, attempts, failure: why, undo, undoFailure }) => ({
      item,
      status: taskStatuses.fromWire(of) ?? "failed",
      attempts,
      failure: why,
      undo: taskStatuses.fromWire(undo),
      undoFailure,
    })),
  };
}

function objectOf(text: string): Readonly<Record<string, unknown>> {
  return text === "" ? {} : (JSON.parse(text) as Record<string, unknown>);
}

/** A run as JSON, as the HTTP API and the command line show it. */
export function flowRunJson(run: FlowRun): object {
  const { tenant, id, flow, status, isOver, input, priority, author, failure, outputs, steps, revision } =
    run;
  return {
    id,
    ...(tenant !== "" && { tenant }),
    flow,
    status,
    ended: isOver,
    priority,
    author,
    createdAt: timeOf(run.createdAtUs),
    begunAt: timeOf(run.begunAtUs),
    endedAt: timeOf(run.endedAtUs),
    revision,
    input,
    failure,
    outputs,
    ...(steps.length > 0 && { steps: steps.map(stepJson) }),
  };
}

function stepJson({ begunAtUs, endedAtUs, tasks, ...rest }: FlowStep): object {
  return {
    ...rest,
    begunAt: timeOf(begunAtUs),
    endedAt: timeOf(endedAtUs),
    tasks: tasks.map(({ item, ...task }) => ({ ...(item !== "" && { device: item }), ...task })),
  };
}

function timeOf(us: number | undefined): string | undefined {
  return us === undefined ? undefined : new Date(us / 1_000).toISOString();
}
