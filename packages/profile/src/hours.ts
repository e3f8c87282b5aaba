/** Hours of the week in a time zone. */
import type { CommandSpec } from "@myelin/config";

type Hours = NonNullable<NonNullable<CommandSpec["safety"]>["hours"]>[number];

const DAYS: readonly string[] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const DAY_MINUTES = 24 * 60;

/** Tells whether a moment is within these hours. They go by the wall clock of their zone, through changes of summer time. */
export function compileHours({ days, from, to, timeZone }: Hours): (atMs: number) => boolean {
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone,
    weekday: "short",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  });
  const [begin, end] = [minutes(from), minutes(to)];
  const begins = (day: number): boolean =>
    days === undefined || (days as readonly string[]).includes(DAYS[(day + 7) % 7]!);
  return (atMs) => {
    const parts = new Map(format.formatToParts(atMs).map(({ type, value }) => [type, value]));
    const day = DAYS.indexOf(parts.get("weekday")!.toLowerCase());
    const now = Number(parts.get("hour")) * 60 + Number(parts.get("minute"));
    if (begin < end) return begins(day) && now >= begin && now < end;
    return (begins(day) && now >= begin) || (begins(day - 1) && now < end);
  };
}

function minutes(time: string): number {
  const [hours, rest] = time.split(":").map(Number);
  return Math.min(hours! * 60 + rest!, DAY_MINUTES);
}
