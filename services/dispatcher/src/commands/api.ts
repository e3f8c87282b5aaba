/** What rules, flows and shadows may do with commands. */
import type { CommandState, CommandWish, DeviceCommand } from "@myelin/bus";

/**
 * Commands devices, whoever owns their partitions. `submit` resolves when the command is stored, and from then on it ends in one terminal
 * state; repeating it with the same idempotency key after a restart does no harm. Errors are those of `DeviceCommandClient`.
 */
export interface CommandDesk {
  /** @throws AppError `command.*`, `queue.full`, `request.*`, `bus.*` */
  submit(wish: CommandWish): Promise<DeviceCommand>;
  /** @throws AppError `command.unknown`, `request.*`, `bus.*` */
  get(tenant: string, id: string): Promise<DeviceCommand>;
  /** Resolves when it has come to a state, has ended in another, or `waitMs` has passed. @throws AppError `command.unknown`, `request.*`, `bus.*` */
  reached(command: DeviceCommand, state: CommandState, waitMs: number): Promise<DeviceCommand>;
  /** Certainly not executed when this resolves. @throws AppError `command.unknown`, `command.under_way`, `request.*`, `bus.*` */
  cancel(tenant: string, id: string, author: CommandWish["author"]): Promise<DeviceCommand>;
}
