/** Alarms live: those that stand, then each change. Owners are asked again and again, because alarms change seldom and are looked at by few. */
import { AppError, type Clock } from "@myelin/kernel";
import type { AlarmClient, AlarmFilter, AlarmRecord } from "./alarms.js";

const LOOK_AGAIN_MS = 1_000;
/** Alarms that are followed: as many as one answer holds. */
export const MAX_WATCHED_ALARMS = 500;

/** How alarms are followed. */
export interface AlarmWatchOptions {
  readonly client: Pick<AlarmClient, "list" | "get">;
  /** States and limit of it do not count. */
  readonly filter: AlarmFilter;
  readonly clock: Clock;
  /** Ends it, without an error. */
  readonly signal?: AbortSignal | undefined;
  /** More stand than are followed: the newest of them are. Called each time that begins. */
  readonly onCut?: (() => void) | undefined;
}

/** Yields each alarm that stands, the oldest first, and each one that has changed, at most a second later. @throws as `AlarmClient` */
export async function* watchAlarms(options: AlarmWatchOptions): AsyncGenerator<AlarmRecord, void> {
  const { client, filter, clock, signal, onCut } = options;
  const wanted: AlarmFilter = {
    ...filter,
    states: ["raised", "acknowledged"],
    limit: MAX_WATCHED_ALARMS,
    after: undefined,
  };
  let standing = new Map<string, AlarmRecord>();
  let isCut = false;
  while (signal?.aborted !== true) {
    const page = await client.list(wanted);
    if (page.more && !isCut) onCut?.();
    isCut = page.more;
    const next = new Map(page.alarms.map((alarm) => [alarm.id, alarm]));
    for (const alarm of [...page.alarms].reverse())
      if (hasChanged(standing.get(alarm.id), alarm)) yield alarm;
    for (const { tenant, id } of standing.values()) {
      const over = next.has(id) ? undefined : await ended(client, tenant, id);
      if (over !== undefined) yield over;
    }
    standing = next;
    // Ended while it waits: the loop sees it.
    await clock.sleep(LOOK_AGAIN_MS, signal).catch(() => undefined);
  }
}

function hasChanged(before: AlarmRecord | undefined, now: AlarmRecord): boolean {
  return (
    before === undefined ||
    before.state !== now.state ||
    before.count !== now.count ||
    before.severity !== now.severity
  );
}

/** Undefined where it only is too old for the list, or is forgotten already. */
async function ended(
  client: Pick<AlarmClient, "get">,
  tenant: string,
  id: string,
): Promise<AlarmRecord | undefined> {
  try {
    const alarm = await client.get(tenant, id);
    return alarm.state === "cleared" ? alarm : undefined;
  } catch (error) {
    if (AppError.is(error) && error.code === "alarm.unknown") return undefined;
    throw error;
  }
}
