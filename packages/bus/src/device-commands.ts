/** What programs ask of commands to devices: each by the owner of the device's partition. */
import { randomBytes } from "node:crypto";
import { enumNames, partitionOf, subjects, command as wire } from "@myelin/contract";
import { AppError, type Clock } from "@myelin/kernel";
import type { Bus } from "./api.js";

const states = enumNames(wire.State);
const risks = enumNames(wire.Risk);

/** A step of the ladder. */
export type CommandState = (typeof states.names)[number];

/** What can happen when a command goes wrong, as its profile says. */
export type CommandRisk = (typeof risks.names)[number];

/** Where a command came to, and why. */
export interface CommandStep {
  readonly state: CommandState;
  readonly atUs: number;
  /** A word of the command reference; empty where there is nothing to tell. */
  readonly cause: string;
  readonly message: string;
}

/** Who asks for a command. */
export interface CommandAuthor {
  readonly kind: "user" | "app" | "rule" | "flow" | "shadow";
  readonly name: string;
  readonly roles: readonly string[];
}

/** What somebody wants a device to do. */
export interface CommandWish {
  /** Empty: the default one. */
  readonly tenant: string;
  readonly device: string;
  /** A command of the device's profile. */
  readonly name: string;
  readonly parameters?: Readonly<Record<string, unknown>>;
  /** How long it may wait for the device; left out, a minute. */
  readonly ttlMs?: number | undefined;
  /** -100 to 100; larger ones go first. */
  readonly priority?: number | undefined;
  /** Per device: the same one again gives the command that was made the first time. */
  readonly idempotencyKey?: string | undefined;
  /** Sets the safety envelope aside, and says why; it is audited. */
  readonly overrideReason?: string | undefined;
  readonly author: CommandAuthor;
  readonly traceparent?: string | undefined;
  /** It stems from what was kept during an outage: the safety envelope denies it. */
  readonly replayed?: boolean | undefined;
  /** Whoever asks has used up its rate: only a stop is taken, another gets `limit.rate`. */
  readonly isOverRate?: boolean | undefined;
}

/** How long for which step. */
export interface CommandWait {
  readonly state: CommandState;
  readonly waitMs: number;
}

/** A command as programs see it. */
export interface DeviceCommand {
  readonly id: string;
  readonly tenant: string;
  readonly device: string;
  readonly name: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly risk: CommandRisk;
  readonly priority: number;
  readonly createdAtUs: number;
  readonly expiresAtUs: number;
  readonly author: CommandAuthor;
  readonly idempotencyKey: string;
  readonly overrideReason: string;
  readonly state: CommandState;
  /** It has ended: nothing more will be said of it. */
  readonly isTerminal: boolean;
  readonly steps: readonly CommandStep[];
  readonly attempts: number;
}

/** Which commands; all that is given must hold. */
export interface CommandFilter {
  readonly tenant: string;
  readonly device?: string | undefined;
  readonly states?: readonly CommandState[];
  readonly limit: number;
  /** Those behind this one in the list. */
  readonly after?: Pick<DeviceCommand, "id" | "createdAtUs"> | undefined;
}

const ANSWER_WITHIN_MS = 10_000;
const HOLD_MS = 2_000;
const TRIES = 40;
const RETRY_MS = 250;
const MAX_PAGE = 500;

/** One per program. All of it throws AppError `bus.disconnected`, `request.timeout`, `request.no_responder` besides what is said. */
export class DeviceCommandClient {
  constructor(
    private readonly bus: Bus,
    private readonly partitions: number,
    private readonly clock: Clock,
  ) {}

  /**
   * Resolves when the command is accepted and stored: from then on it ends in one terminal state, whatever dies. Tried again under the
   * same id while the partition changes its owner, so it is accepted once.
   * @param wait as `reached` does, without asking anew
   * @throws AppError `command.*`, `limit.rate`, `queue.full`
   */
  async submit(wish: CommandWish, wait?: CommandWait): Promise<DeviceCommand> {
    const endMs = this.clock.nowMs() + (wait?.waitMs ?? 0);
    const holdMs = Math.min(HOLD_MS, Math.ceil(wait?.waitMs ?? 0));
    const { tenant, device, name } = wish;
    const partition = partitionOf(tenant, device, this.partitions);
    const value: wire.Submit = {
      id: `${partition}-${randomBytes(12).toString("hex")}`,
      tenant,
      device,
      name,
      parameters: JSON.stringify(wish.parameters ?? {}),
      ttlMs: wish.ttlMs ?? 0,
      priority: wish.priority ?? 0,
      author: { ...wish.author, roles: [...wish.author.roles] },
      idempotencyKey: wish.idempotencyKey ?? "",
      overrideReason: wish.overrideReason ?? "",
      traceparent: wish.traceparent ?? "",
      replayed: wish.replayed === true,
      overRate: wish.isOverRate === true,
      until: wait === undefined ? wire.State.UNSPECIFIED : states.toWire(wait.state),
      waitMs: holdMs,
    };
    const made = await this.#command(partition, { $case: "submit", value }, holdMs);
    return wait === undefined ? made : await this.reached(made, wait.state, endMs - this.clock.nowMs());
  }

  /** @throws AppError `command.unknown` */
  async get(tenant: string, id: string): Promise<DeviceCommand> {
    const value = { tenant, id, steps: 0, waitMs: 0, until: wire.State.UNSPECIFIED };
    return await this.#command(this.#partitionOf(id), { $case: "get", value }, 0);
  }

  /**
   * Resolves with the command as soon as it has more steps than `steps`, or has ended, or `waitMs` has passed.
   * @throws AppError `command.unknown`
   */
  async next(
    tenant: string,
    id: string,
    steps: number,
    waitMs: number,
    signal?: AbortSignal,
  ): Promise<DeviceCommand> {
    return await this.#wait(tenant, id, { steps, until: wire.State.UNSPECIFIED }, waitMs, signal);
  }

  /** Resolves when the command has come to a state, has ended in another, or `waitMs` has passed. @throws AppError `command.unknown` */
  async reached(command: DeviceCommand, state: CommandState, waitMs: number): Promise<DeviceCommand> {
    if (hasReached(command, state) || waitMs <= 0) return command;
    const goal = { steps: command.steps.length, until: states.toWire(state) };
    return await this.#wait(command.tenant, command.id, goal, waitMs);
  }

  /** Certainly not executed when this resolves. @throws AppError `command.unknown`, `command.under_way` */
  async cancel(tenant: string, id: string, author: CommandAuthor): Promise<DeviceCommand> {
    const value = { tenant, id, author: { ...author, roles: [...author.roles] } };
    return await this.#command(this.#partitionOf(id), { $case: "cancel", value }, 0);
  }

  /** A page, the newest first; of one device, or over all partitions. */
  async list(
    filter: CommandFilter,
  ): Promise<{ readonly commands: readonly DeviceCommand[]; readonly more: boolean }> {
    const { tenant, device = "", after } = filter;
    const limit = Math.min(filter.limit, MAX_PAGE);
    const value: wire.List = {
      tenant,
      device,
      states: (filter.states ?? []).map((state) => states.toWire(state)),
      beforeUs: after?.createdAtUs ?? 0,
      beforeId: after?.id ?? "",
      limit,
    };
    const asked =
      device === ""
        ? Array.from({ length: this.partitions }, (_, partition) => partition)
        : [partitionOf(tenant, device, this.partitions)];
    const pages = await Promise.all(
      asked.map(async (partition) =>
        wire.CommandList.decode(await this.#ask(partition, { $case: "list", value }, 0)),
      ),
    );
    const all = pages.flatMap(({ commands }) => commands.map(commandFromWire)).sort(isNewer);
    return { commands: all.slice(0, limit), more: all.length > limit || pages.some(({ more }) => more) };
  }

  async #wait(
    tenant: string,
    id: string,
    goal: Pick<wire.Get, "steps" | "until">,
    waitMs: number,
    signal?: AbortSignal,
  ): Promise<DeviceCommand> {
    const partition = this.#partitionOf(id);
    const endMs = this.clock.nowMs() + waitMs;
    for (;;) {
      signal?.throwIfAborted();
      // In pieces: whoever waits learns of a new owner of the partition.
      const left = Math.max(0, Math.min(HOLD_MS, Math.ceil(endMs - this.clock.nowMs())));
      const value = { tenant, id, ...goal, waitMs: left };
      const found = await this.#command(partition, { $case: "get", value }, left);
      const isThere =
        goal.until === wire.State.UNSPECIFIED
          ? found.steps.length > goal.steps
          : states.toWire(found.state) >= goal.until;
      if (isThere || found.isTerminal || this.clock.nowMs() >= endMs) return found;
    }
  }

  #partitionOf(id: string): number {
    const partition = Number(/^(\d{1,5})-[0-9a-z]{8,40}$/.exec(id)?.[1] ?? Number.NaN);
    if (partition < this.partitions) return partition;
    throw new AppError("command.unknown", `${id} is no id of a command`);
  }

  async #command(
    partition: number,
    request: wire.Request["request"],
    waitMs: number,
  ): Promise<DeviceCommand> {
    return commandFromWire(wire.Command.decode(await this.#ask(partition, request, waitMs)));
  }

  /** All of it may be asked twice: ids make a submission that is repeated the same one. */
  async #ask(partition: number, request: wire.Request["request"], waitMs: number): Promise<Uint8Array> {
    const data = wire.Request.encode({ partition, request }).finish();
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.bus.request(subjects.commandRequest(partition), data, waitMs + ANSWER_WITHIN_MS);
      } catch (thrown) {
        const isNobody = AppError.is(thrown) && thrown.code === "request.no_responder";
        if (!isNobody || attempt === TRIES) throw thrown;
      }
      await this.clock.sleep(RETRY_MS);
    }
  }
}

const LADDER: readonly CommandState[] = ["accepted", "routed", "delivered", "executed", "verified"];

/** Whether a command has come to a state, or has ended otherwise. */
export function hasReached(command: DeviceCommand, state: CommandState): boolean {
  if (command.isTerminal) return true;
  return LADDER.indexOf(command.state) >= LADDER.indexOf(state);
}

/** States in which nothing more is said of a command, besides EXECUTED where nothing is read back. */
const FINAL: ReadonlySet<CommandState> = new Set(["verified", "rejected", "expired", "failed", "mismatch"]);

/** The newest first; of those made at once, by their ids. */
export function isNewer(
  a: Pick<DeviceCommand, "id" | "createdAtUs">,
  b: Pick<DeviceCommand, "id" | "createdAtUs">,
): number {
  return b.createdAtUs - a.createdAtUs || (a.id < b.id ? 1 : a.id > b.id ? -1 : 0);
}

/** A command as it travels, for programs. */
export function commandFromWire(record: wire.Command): DeviceCommand {
  const {
    author,
    parameters,
    verify,
    redeliver,
    mayHaveRun,
    traceparent,
    replayed,
    attemptedAtUs,
    executedAtUs,
    ...rest
  } = record;
  const steps = record.steps.map((step) => ({ ...step, state: states.fromWire(step.state) ?? "failed" }));
  const state = steps.at(-1)?.state ?? "accepted";
  return {
    ...rest,
    parameters: JSON.parse(parameters) as Record<string, unknown>,
    risk: risks.fromWire(record.risk) ?? "high",
    author: {
      kind: (author?.kind ?? "user") as CommandAuthor["kind"],
      name: author?.name ?? "",
      roles: author?.roles ?? [],
    },
    state,
    isTerminal: FINAL.has(state) || (state === "executed" && verify === undefined),
    steps,
  };
}

/** A command as JSON, as the HTTP API and the command line show it. */
export function commandJson(command: DeviceCommand): object {
  const { tenant, createdAtUs, expiresAtUs, idempotencyKey, overrideReason, isTerminal, steps, ...rest } =
    command;
  return {
    ...(tenant !== "" && { tenant }),
    ...rest,
    ended: isTerminal,
    createdAt: timeOf(createdAtUs),
    expiresAt: timeOf(expiresAtUs),
    ...(idempotencyKey !== "" && { idempotencyKey }),
    ...(overrideReason !== "" && { overrideReason }),
    steps: steps.map(commandStepJson),
  };
}

/** A step as JSON. */
export function commandStepJson({ state, atUs, cause, message }: CommandStep): object {
  return {
    state,
    at: timeOf(atUs),
    ...(cause !== "" && { cause }),
    ...(message !== "" && { message }),
  };
}

function timeOf(us: number): string {
  return new Date(us / 1000).toISOString();
}
