/** By which names processes send to partitions. Two senders of one name would take each other's batches for doubled ones. */

/** Where a service counts what it sends, and the name by which it does. */
export interface SendingHop {
  readonly hop: string;
  readonly senderOf: (instance: string) => string;
}

const own = (instance: string): string => instance;

/** The services that send to partitions. A dispatcher has a name of its own for it, because it shares its process with an ipc-bridge. */
export const SENDING_HOPS = {
  dispatcher: { hop: "publish", senderOf: (instance) => `${instance}/desk` },
  "hardware-agent": { hop: "publish", senderOf: own },
  "ipc-bridge": { hop: "publish", senderOf: own },
  listener: { hop: "ingress", senderOf: own },
} as const satisfies Readonly<Record<string, SendingHop>>;

/** As what a service sends; the process's own name for any other. */
export function sendingHopOf(service: string): SendingHop | undefined {
  return Object.hasOwn(SENDING_HOPS, service)
    ? SENDING_HOPS[service as keyof typeof SENDING_HOPS]
    : undefined;
}
