/** One command for all devices of a group: at a rate, and no further when too many have failed. */
import { AppError, type Clock } from "@myelin/kernel";
import type { CommandState, CommandWish, DeviceCommand, DeviceCommandClient } from "./device-commands.js";
import type { DeviceRegistryClient } from "./device-registry.js";

/** What is wanted of a group. */
export interface BulkWish extends Omit<CommandWish, "device"> {
  readonly group: string;
  /** Commands a second. */
  readonly rate: number;
  /** Ends when so many have not come to `wait`; 0: never. */
  readonly stopOnFailures: number;
  /** What each is to come to; what has ended otherwise has failed. */
  readonly wait: CommandState;
  /** How long one may take for that. */
  readonly waitMs: number;
}

/** What became of one device's. */
export interface BulkOutcome {
  readonly device: string;
  readonly command?: DeviceCommand;
  readonly error?: AppError;
  readonly isFailed: boolean;
}

const PAGE = 200;
/** Commands that are waited for at the same time; more are not begun. */
const MAX_AT_ONCE = 200;

/**
 * Begins with one device after the other and tells each outcome as it comes. Ends by itself; when nobody reads on, no further command
 * is begun. An idempotency key is used for each device.
 * @throws AppError `request.*`, `bus.*`, of the registry
 */
export async function* commandGroup(
  registry: Pick<DeviceRegistryClient, "pages">,
  commands: Pick<DeviceCommandClient, "submit">,
  clock: Clock,
  wish: BulkWish,
): AsyncGenerator<BulkOutcome> {
  const { group, rate, stopOnFailures, wait, waitMs, ...rest } = wish;
  const running = new Map<string, Promise<BulkOutcome>>();
  let failures = 0;
  let nextMs = clock.nowMs();
  const isOver = (): boolean => stopOnFailures > 0 && failures >= stopOnFailures;
  const settled = async (): Promise<BulkOutcome> => {
    const outcome = await Promise.race(running.values());
    running.delete(outcome.device);
    if (outcome.isFailed) failures += 1;
    return outcome;
  };
  for await (const page of registry.pages({ tenant: rest.tenant, groups: [group] }, PAGE)) {
    for (const { id: device } of page) {
      const due = clock.sleep(Math.max(0, nextMs - clock.nowMs()));
      nextMs = Math.max(nextMs, clock.nowMs()) + 1_000 / rate;
      let isDue = false;
      const dueNow = due.then(() => {
        isDue = true;
        return undefined;
      });
      while (!isDue || running.size >= MAX_AT_ONCE) {
        const first = await Promise.race([
          ...(running.size < MAX_AT_ONCE ? [dueNow] : []),
          ...running.values(),
        ]);
        if (first !== undefined) yield await settled();
      }
      if (isOver()) break;
      running.set(device, runOne(commands, { ...rest, device }, wait, waitMs));
    }
    if (isOver()) break;
  }
  while (running.size > 0) yield await settled();
}

async function runOne(
  commands: Pick<DeviceCommandClient, "submit">,
  wish: CommandWish,
  wait: CommandState,
  waitMs: number,
): Promise<BulkOutcome> {
  const { device } = wish;
  try {
    const command = await commands.submit(wish, { state: wait, waitMs });
    const isDone = command.state === wait || command.state === "verified" || command.state === "executed";
    return { device, command, isFailed: !isDone };
  } catch (thrown) {
    return { device, error: AppError.from(thrown), isFailed: true };
  }
}
