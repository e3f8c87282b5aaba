/** `myelin devices`: the registry of devices. */
import {
  type DeviceList,
  type DeviceRecord,
  DeviceRegistryClient,
  deploymentPartitions,
  deviceJson,
} from "@myelin/bus";
import { AppError } from "@myelin/kernel";
import type { ReachOptions } from "../box/connection.js";
import { EXIT, note, print, printable, printJson } from "../output.js";
import { withBus } from "./client.js";
import { exportDevices, importFile } from "./devices-bulk.js";
import { needed, table } from "./operator-lists.js";

export interface DevicesOptions extends ReachOptions {
  readonly json: boolean;
  readonly csv: boolean;
  readonly tenant: string;
  readonly profile?: string;
  readonly group: readonly string[];
  readonly tag: readonly string[];
  readonly idPrefix?: string;
  readonly disabled: boolean;
  readonly presence?: "online" | "offline";
  readonly description?: string;
  readonly ifVersion?: number;
  readonly limit: number;
  readonly after?: string;
}

/** Exit code 1 when lines of an import were refused. @throws AppError `device.*`, `config.invalid`, `bus.*` */
export async function devices(
  action: string,
  what: string | undefined,
  options: DevicesOptions,
): Promise<number> {
  return withBus(options, async (bus) => {
    const client = new DeviceRegistryClient(bus, await deploymentPartitions(bus));
    switch (action) {
      case "get":
        show(await client.get(options.tenant, idOf(what, action)), options.json);
        return EXIT.ok;
      case "set":
        show(await set(client, idOf(what, action), options), options.json);
        return EXIT.ok;
      case "disable":
      case "enable": {
        const enabled = action === "enable";
        show(
          await client.patch(options.tenant, idOf(what, action), { enabled }, options.ifVersion),
          options.json,
        );
        return EXIT.ok;
      }
      case "delete":
        return await remove(client, idOf(what, action), options);
      case "import":
        return await importFile(
          client,
          needed(what, "myelin devices import needs a file, or - for standard input"),
          options,
        );
      case "export":
        return await exportDevices(client, wantedOf(options, options.limit, ""), options);
      default:
        return await showList(client, options);
    }
  });
}

function idOf(what: string | undefined, action: string): string {
  return needed(what, `myelin devices ${action} needs the id of a device`);
}

function tagsOf({ tag }: DevicesOptions): Record<string, string> {
  return Object.fromEntries(
    tag.map((text) => {
      const at = text.indexOf("=");
      if (at < 1) throw new AppError("config.invalid", `${text} is no NAME=VALUE`);
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}

function wantedOf(options: DevicesOptions, limit: number, after: string): DeviceList {
  const { tenant, profile = "", group, idPrefix = "", disabled, presence } = options;
  return {
    tenant,
    limit,
    after,
    profile,
    tags: tagsOf(options),
    groups: group,
    idPrefix,
    disabled,
    presence,
  };
}

async function showList(client: DeviceRegistryClient, options: DevicesOptions): Promise<number> {
  const { devices: found, more } = await client.list(wantedOf(options, options.limit, options.after ?? ""));
  if (options.json) {
    printJson({ devices: found.map(deviceJson), more });
    return EXIT.ok;
  }
  table(
    ["id", "profile", "enabled", "presence", "since", "groups", "tags", "changed", "version"],
    found.map(({ id, profile, enabled, presence, groups, tags, updatedAtMs, version }) => [
      id,
      profile,
      enabled ? "yes" : "no",
      presence === undefined ? "" : presence.online ? "online" : "offline",
      presence === undefined ? "" : new Date(presence.sinceMs).toISOString().slice(0, 19),
      groups.join(" "),
      Object.entries(tags)
        .map(([name, value]) => `${name}=${value}`)
        .join(" "),
      new Date(updatedAtMs).toISOString().slice(0, 19),
      version,
    ]),
    "There is no such device.",
  );
  if (more) note(`There are more: --after ${printable(found.at(-1)?.id ?? "")}`);
  return EXIT.ok;
}

function show(device: DeviceRecord, json: boolean): void {
  if (json) printJson(deviceJson(device));
  else
    for (const [name, value] of Object.entries(deviceJson(device)))
      print(printable(`${name}: ${typeof value === "object" ? JSON.stringify(value) : value}`));
}

async function set(client: DeviceRegistryClient, id: string, options: DevicesOptions): Promise<DeviceRecord> {
  const { tenant, profile, description, group, tag, ifVersion } = options;
  const patch = {
    ...(profile !== undefined && { profile }),
    ...(description !== undefined && { description }),
    ...(group.length > 0 && { groups: group }),
    ...(tag.length > 0 && { tags: tagsOf(options) }),
  };
  if (ifVersion !== 0) {
    try {
      return await client.patch(tenant, id, patch, ifVersion);
    } catch (thrown) {
      if (!AppError.is(thrown) || thrown.code !== "device.unknown" || ifVersion !== undefined) throw thrown;
    }
  }
  return (await client.write({ device: { tenant, id, ...patch }, expected: 0 }))!;
}

async function remove(
  client: DeviceRegistryClient,
  id: string,
  { tenant, ifVersion, json }: DevicesOptions,
): Promise<number> {
  await client.write({ device: { tenant, id }, remove: true, expected: ifVersion });
  if (json) printJson({ id, deleted: true });
  else print(`The device ${printable(id)} is deleted.`);
  return EXIT.ok;
}
