/** Steps that integration tests share. */
import { type Bus, DeviceRegistryClient } from "@myelin/bus";
import type { Resource, Snapshot } from "@myelin/config";
import { control, subjects } from "@myelin/contract";
import { waitFor } from "@myelin/testkit";
import type { DispatcherService } from "../../src/index.js";
import { PARTITIONS, type TestBox } from "./box.js";
import type { Seen } from "./fake-bridge.js";

/** A Route resource with the defaults filled in. */
export function route(name: string, spec: object): Resource<"Route"> {
  const complete = { order: 100, match: {}, stop: false, ...spec };
  return { apiVersion: "myelin.dev/v1alpha1", kind: "Route", metadata: { name }, spec: complete } as never;
}

let revision = 0;
/** The next state of the resources. */
export const snapshot = (...resources: Resource<"Route">[]): Snapshot => ({
  revision: ++revision,
  resources,
});

/** Waits until a dispatcher owns so many partitions. */
export const owning = (dispatcher: DispatcherService, count: number) =>
  waitFor(
    () => [...dispatcher.core.partitions.values()].filter(({ isTaking }) => isTaking).length === count,
    {
      what: `${count} partitions`,
      deadlineMs: 15_000,
    },
  );

/** A client of the registry, once every partition answers. */
export async function openRegistry(bus: Bus): Promise<DeviceRegistryClient> {
  const client = new DeviceRegistryClient(bus, PARTITIONS);
  await waitFor(
    () =>
      client.list({ tenant: "", limit: 1 }).then(
        () => true,
        () => false,
      ),
    {
      what: "the registry of every partition",
      deadlineMs: 20_000,
    },
  );
  return client;
}

/** Waits until an app has seen so many messages, doubles included. */
export const seeing = (seen: readonly Seen[], count: number, what = "messages") =>
  waitFor(() => seen.length >= count, {
    what: `${count} ${what}, ${seen.length} are there`,
    deadlineMs: 20_000,
  });

/** First deliveries per device must count up; doubles must be flagged. */
export function judge(seen: readonly Seen[]): string[] {
  const complaints: string[] = [];
  const last = new Map<string, number>();
  const known = new Set<string>();
  for (const { device, text, redelivered } of seen) {
    const key = `${device}#${text}`;
    if (known.has(key)) {
      if (!redelivered) complaints.push(`${key} came twice, unflagged`);
      continue;
    }
    known.add(key);
    if (Number(text) < (last.get(device) ?? 0)) complaints.push(`${key} came after ${last.get(device)}`);
    last.set(device, Number(text));
  }
  return complaints;
}

/** How many different messages an app has seen. */
export const distinct = (seen: readonly Seen[]) => new Set(seen.map((s) => `${s.device}#${s.text}`)).size;

/** The books as they are answered on the bus. */
export async function ledgerOf(box: TestBox): Promise<control.LedgerSnapshot> {
  const bus = await box.connect("asker");
  const [answer] = await bus.requestMany(subjects.ledgerQuery(), new Uint8Array(0), { timeoutMs: 1_000 });
  return control.LedgerSnapshot.decode(answer!);
}

/** What each account leaves over; all 0 when nothing was lost from the books. */
export const unaccounted = (s: control.LedgerSnapshot) =>
  s.accounts.map((a) => {
    const dropped = a.dropped.reduce((sum, d) => sum + d.count, 0);
    return a.received - a.forwarded - a.stored - a.expired - a.queued - dropped;
  });
