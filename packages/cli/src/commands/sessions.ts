/** `myelin sessions`: sessions of clients, those of connections and those that outlive them; deleting one. */
import { systemClock } from "@myelin/kernel";
import { effectJson, OperationsClient, pageJson, sessionJson } from "@myelin/listener/operations";
import { EXIT, print, printable, printJson } from "../output.js";
import { withBus } from "./client.js";
import { type ListOptions, needed, noteMissing, notePage, table, tenantOf } from "./operator-lists.js";

export type SessionsOptions = ListOptions;

/** Exit code 1 when there is no session to delete. @throws AppError `config.invalid`, `device.not_connected`, `request.no_responder`, `bus.*` */
export async function sessions(
  action: string,
  client: string | undefined,
  options: SessionsOptions,
): Promise<number> {
  const name =
    action === "list" ? "" : needed(client, `myelin sessions ${action} needs the name of a client`);
  return withBus(options, async (bus) => {
    const operations = new OperationsClient(bus, systemClock);
    if (action === "delete") await remove(operations, name, options);
    else await list(operations, name, options);
    return EXIT.ok;
  });
}

async function list(operations: OperationsClient, client: string, options: SessionsOptions): Promise<void> {
  const { cursor, limit } = options;
  const page = await operations.sessions({ tenant: tenantOf(options), client, cursor, limit });
  if (options.json) {
    printJson(pageJson("sessions", page, sessionJson));
    return;
  }
  table(
    [
      "client",
      "outlives its connection",
      "connected",
      "kept by",
      "filters",
      "inflight",
      "queued",
      "bytes",
      "dropped",
    ],
    page.entries.map((s) => [
      s.tenant === "" ? s.client : `${s.tenant}: ${s.client}`,
      s.persistent ? (s.expirySeconds === 0xffff_ffff ? "for ever" : `${s.expirySeconds} s`) : "no",
      s.connected ? "yes" : `no, since ${new Date(s.offlineAtMs).toISOString().slice(0, 19)}Z`,
      `${s.service}/${s.instance}`,
      s.subscriptions,
      s.inflight,
      s.queued,
      s.queuedBytes,
      s.dropped,
    ]),
    "There is no such session.",
  );
  notePage(page);
}

async function remove(operations: OperationsClient, client: string, options: SessionsOptions): Promise<void> {
  const effect = await operations.deleteSession(tenantOf(options), client);
  if (options.json) {
    printJson(effectJson(client, "deleted", effect));
    return;
  }
  print(`The session of ${printable(client)} is deleted.`);
  noteMissing(effect);
}
