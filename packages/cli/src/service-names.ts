/** The verbs that run services: each alone, and `core`, what a box runs in one process. */
export const SERVICE_NAMES = ["listener", "dispatcher", "ipc-bridge", "hardware-agent", "core"] as const;

export type ServiceName = (typeof SERVICE_NAMES)[number];

/** What `up` becomes when everything is made ready; no verb for users. */
export const SUPERVISE = "supervise";

/** True for a verb that runs a service. */
export function isServiceName(verb: string): verb is ServiceName {
  return (SERVICE_NAMES as readonly string[]).includes(verb);
}
