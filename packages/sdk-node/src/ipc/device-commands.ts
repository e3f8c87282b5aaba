/** Commands to devices, by the ladder that everybody uses. */
import { check, checkOptions, checkText, checkTimeout } from "../check.js";
import type { PayloadInput } from "../payload.js";
import type { Reply } from "./calls.js";

/** Where a command stands. */
export type CommandState =
  | "accepted"
  | "routed"
  | "delivered"
  | "executed"
  | "verified"
  | "rejected"
  | "expired"
  | "failed"
  | "mismatch";

/** One step of the ladder. */
export interface DeviceCommandStep {
  readonly state: CommandState;
  /** ISO 8601. */
  readonly at: string;
  /** A word of the command reference; absent where a step speaks for itself. */
  readonly cause?: string;
  readonly message?: string;
}

/** A command as it stands. */
export interface AppDeviceCommand {
  readonly id: string;
  readonly device: string;
  readonly name: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly state: CommandState;
  /** Nothing more will be said of it. */
  readonly ended: boolean;
  readonly attempts: number;
  readonly createdAt: string;
  readonly expiresAt: string;
  readonly steps: readonly DeviceCommandStep[];
}

/** How a command is sent. */
export interface CommandOptions {
  readonly parameters?: Readonly<Record<string, unknown>>;
  /** Resolve when it has come there or has ended; left out, when it is accepted and stored. */
  readonly wait?: "accepted" | "routed" | "delivered" | "executed" | "verified";
  /** How long that may take; then the command is told as it stands. 10 seconds when left out. */
  readonly timeoutMs?: number;
  /** How long it may wait for the device. A minute when left out. */
  readonly ttlMs?: number;
  /** -100 to 100; larger ones go first. */
  readonly priority?: number;
  /** Per device: the same one again gives the command that was made the first time. */
  readonly key?: string;
  readonly tenant?: string;
}

/** Asks the platform, as `IpcClient.request` does. */
export type Ask = (
  target: string,
  payload: PayloadInput,
  options: { readonly timeoutMs: number },
) => Promise<Reply>;

const WAIT_MS = 10_000;
const MARGIN_MS = 250;

/**
 * Part of an `IpcClient`. All of it throws AppError `request.timeout`, `operation.circuit_open`, `rpc.unavailable` besides what is said. The
 * safety envelope of the device's profile has the last word; an application cannot set it aside.
 */
export class DeviceCommands {
  constructor(private readonly ask: Ask) {}

  /**
   * From when this resolves the command ends in one terminal state, whatever dies. Without an answer nobody knows: give a `key` and send it again.
   * @throws AppError `command.*`, `queue.full`
   */
  async send(device: string, command: string, options: CommandOptions = {}): Promise<AppDeviceCommand> {
    checkText("commands.send", "the device id", device);
    checkText("commands.send", "the command", command);
    checkOptions("commands.send", options);
    checkTimeout("commands.send", options.timeoutMs);
    const { timeoutMs = WAIT_MS, ...rest } = options;
    return await this.#ask("send", { device, command, ...rest }, timeoutMs);
  }

  /** @throws AppError `command.unknown` */
  async get(id: string, options: Pick<CommandOptions, "tenant"> = {}): Promise<AppDeviceCommand> {
    checkText("commands.get", "the id", id);
    return await this.#ask("get", { id, ...options }, WAIT_MS);
  }

  /** Certainly not executed when this resolves. @throws AppError `command.unknown`, `command.under_way` */
  async cancel(id: string, options: Pick<CommandOptions, "tenant"> = {}): Promise<AppDeviceCommand> {
    checkText("commands.cancel", "the id", id);
    return await this.#ask("cancel", { id, ...options }, WAIT_MS);
  }

  /** Each step as it is taken, the first ones included; ends with the last one. @throws AppError `command.unknown` */
  async *follow(
    id: string,
    options: Pick<CommandOptions, "tenant"> = {},
  ): AsyncGenerator<DeviceCommandStep, AppDeviceCommand> {
    checkText("commands.follow", "the id", id);
    for (let told = 0; ; ) {
      const now = await this.#ask("get", { id, steps: told, ...options }, WAIT_MS);
      for (const step of now.steps.slice(told)) yield step;
      told = now.steps.length;
      if (now.ended) return now;
    }
  }

  async #ask(method: string, payload: object, timeoutMs: number): Promise<AppDeviceCommand> {
    const reply = await this.ask(
      `platform/command.${method}`,
      { ...payload },
      { timeoutMs: timeoutMs + MARGIN_MS },
    );
    const command = reply.json();
    check(typeof command === "object" && command !== null, "the answer of the platform is no command");
    return command as AppDeviceCommand;
  }
}
