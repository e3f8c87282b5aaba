/** Names of time zones. */

/** Whether this platform knows the time zone. */
export function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone !== "";
  } catch {
    // The one thing that a constructor with this option throws for.
    return false;
  }
}
