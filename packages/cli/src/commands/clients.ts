/** `myelin clients`: who is connected, over all listeners; one client in detail; disconnecting it. */
import { parseDurationMs } from "@myelin/config";
import type { ops } from "@myelin/contract";
import { AppError, systemClock } from "@myelin/kernel";
import { clientJson, effectJson, OperationsClient, pageJson, recordJson } from "@myelin/listener/operations";
import { colour, EXIT, print, printable, printJson } from "../output.js";
import { withBus } from "./client.js";
import { type ListOptions, needed, noteMissing, notePage, table, tenantOf } from "./operator-lists.js";

export interface ClientsOptions extends ListOptions {
  readonly protocol: readonly string[];
  readonly protocolVersion: readonly string[];
  readonly user: readonly string[];
  readonly device: readonly string[];
  readonly listener: readonly string[];
  readonly since?: string;
  readonly reason?: string;
}

/** Exit code 1 when nobody knows the client. @throws AppError `config.invalid`, `device.not_connected`, `request.no_responder`, `bus.*` */
export async function clients(
  action: string,
  client: string | undefined,
  options: ClientsOptions,
): Promise<number> {
  const connectedSinceUs = sinceOf(options.since, systemClock.wallMs());
  const name = action === "list" ? "" : needed(client, `myelin clients ${action} needs the name of a client`);
  return withBus(options, async (bus) => {
    const operations = new OperationsClient(bus, systemClock);
    if (action === "list") await list(operations, options, connectedSinceUs);
    else if (action === "inspect") await inspect(operations, name, options);
    else await disconnect(operations, name, options);
    return EXIT.ok;
  });
}

/** Microseconds since the Unix epoch; 0: at any time. @throws AppError `config.invalid` */
export function sinceOf(text: string | undefined, nowMs: number): number {
  if (text === undefined) return 0;
  const ms = /^\d{4}-/.test(text) ? Date.parse(text) : nowMs - durationOf(text);
  if (!Number.isNaN(ms)) return Math.max(0, Math.round(ms * 1000));
  throw new AppError(
    "config.invalid",
    `--since takes a time such as 2030-01-31T12:00:00Z or a duration such as 10m, not "${text}".`,
  );
}

function durationOf(text: string): number {
  try {
    return parseDurationMs(text);
  } catch {
    // The caller says what else it could be.
    return Number.NaN;
  }
}

async function list(
  operations: OperationsClient,
  options: ClientsOptions,
  connectedSinceUs: number,
): Promise<void> {
  const page = await operations.clients({
    tenant: tenantOf(options),
    protocols: [...options.protocol],
    versions: [...options.protocolVersion],
    users: [...options.user],
    devices: [...options.device],
    listeners: [...options.listener],
    connectedSinceUs,
    cursor: options.cursor,
    limit: options.limit,
  });
  if (options.json) {
    printJson(pageJson("clients", page, clientJson));
    return;
  }
  table(
    ["device", "user", "protocol", "address", "listener", "connected since"],
    page.entries.map((client) => [
      nameOf(client),
      client.user,
      protocolOf(client),
      client.address,
      client.listener,
      timeOf(client.connectedAtUs),
    ]),
    "No client is connected that was asked for.",
  );
  notePage(page);
}

async function inspect(operations: OperationsClient, name: string, options: ClientsOptions): Promise<void> {
  const record = await operations.inspect(tenantOf(options), name);
  if (options.json) {
    printJson(recordJson(name, record));
    return;
  }
  for (const details of record.connections) show(details);
  const { lastDisconnect: last } = record;
  if (last !== undefined) {
    print(`${colour.bold(printable(name))} is not connected`);
    print(`  ${timeOf(last.atMs * 1000)} disconnected from ${last.listener}: ${last.reason}`);
  }
  noteMissing(record);
}

function show(details: ops.ClientDetails): void {
  const { client, will, dropped, held } = details;
  if (client === undefined) return;
  const rows: (readonly [string, string | number | false])[] = [
    ["user", client.user],
    ["protocol", `${protocolOf(client)}, port ${client.port}`],
    ["address", client.address],
    ["listener", `${client.listener}, connection ${client.number}`],
    ["connected since", timeOf(client.connectedAtUs)],
    ["silence allowed", details.keepAliveMs > 0 && `${details.keepAliveMs / 1000} s`],
    ["session", sessionOf(details)],
    ["subscriptions", details.subscriptions],
    ["inflight", `${details.inflight}${details.receiveMaximum > 0 ? ` of ${details.receiveMaximum}` : ""}`],
    ["queued", `${details.queued}, ${details.queuedBytes} bytes`],
    ["unsent", details.unsentBytes > 0 && `${details.unsentBytes} bytes`],
    ["received, sent", `${details.receivedBytes}, ${details.sentBytes} bytes`],
    ["dropped", dropped.map(({ reason, count }) => `${count} ${reason}`).join(", ")],
    [
      "will",
      will !== undefined &&
        `${printable(will.topic)}, QoS ${will.qos}${will.retain ? ", retained" : ""}, ${will.payloadBytes} bytes${will.delaySeconds > 0 ? `, after ${will.delaySeconds} s` : ""}`,
    ],
    ["not read: ", held.join(", ")],
  ];
  print(colour.bold(nameOf(client)));
  for (const [label, value] of rows) {
    if (value !== false && value !== "") print(`  ${label.padEnd(16)} ${value}`);
  }
}

function sessionOf({ persistent, cleanStart, sessionExpirySeconds: seconds }: ops.ClientDetails): string {
  const begun = cleanStart ? "begun anew" : "resumed where there was one";
  if (!persistent) return `ends with the connection, ${begun}`;
  return `stays ${seconds === 0xffff_ffff ? "for ever" : `${seconds} s`} after the connection, ${begun}`;
}

async function disconnect(
  operations: OperationsClient,
  name: string,
  options: ClientsOptions,
): Promise<void> {
  const effect = await operations.disconnect(tenantOf(options), name, options.reason ?? "");
  if (options.json) {
    printJson(effectJson(name, "disconnected", effect));
    return;
  }
  print(`${printable(name)} is disconnected.`);
  noteMissing(effect);
}

function nameOf({ tenant, device, clientId }: ops.Client): string {
  const own = clientId === "" ? device : `${device} (${clientId})`;
  return printable(tenant === "" ? own : `${tenant}: ${own}`);
}

function protocolOf({ protocol, version }: ops.Client): string {
  return version === "" ? protocol : `${protocol} ${version}`;
}

function timeOf(us: number): string {
  return us === 0 ? "" : `${new Date(us / 1000).toISOString().slice(0, 19)}Z`;
}
