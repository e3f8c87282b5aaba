/** `myelin retained`: which messages are kept for subscribers to come, what one of them is, and clearing them. */
import { type Bus, clearRetained, deploymentPartitions, listRetained, type RetainedFacts } from "@myelin/bus";
import { isTopicFilter, isTopicName } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import Table from "cli-table3";
import type { ReachOptions } from "../box/connection.js";
import { EXIT, note, print, printJson } from "../output.js";
import { withBus } from "./client.js";

/** What can be done with retained messages. */
export const RETAINED_ACTIONS = ["list", "get", "clear"] as const;

export interface RetainedOptions extends ReachOptions {
  readonly json: boolean;
  readonly tenant: string;
  /** List: most messages that are shown. */
  readonly limit: number;
}

/** Exit code 1 when there is no such message. */
export async function retainedMessages(
  action: string,
  what: string | undefined,
  options: RetainedOptions,
): Promise<number> {
  const { tenant, json, limit } = options;
  return withBus(options, async (bus) => {
    if (action === "get") return await showOne(bus, tenant, topicOf(what), json);
    if (action === "clear") {
      const wanted = { tenant, filter: filterOf(what, "clear") };
      const cleared = await clearRetained(bus, await deploymentPartitions(bus), wanted);
      if (json) printJson({ cleared });
      else print(`Retained messages cleared: ${cleared}.`);
    } else {
      const wanted = { tenant, filter: filterOf(what ?? "#", "list"), limit };
      const { found, more } = await listRetained(bus, await deploymentPartitions(bus), wanted);
      showAll(found, more, json);
    }
    return EXIT.ok;
  });
}

async function showOne(bus: Bus, tenant: string, topic: string, json: boolean): Promise<number> {
  const wanted = { tenant, filter: topic, limit: 1, payloadBytes: Number.MAX_SAFE_INTEGER };
  const [facts] = (await listRetained(bus, await deploymentPartitions(bus), wanted)).found;
  if (facts === undefined) {
    note(`Nothing is kept of ${topic}.`);
    return EXIT.failed;
  }
  if (json) printJson({ ...toJson(facts), payload: facts.payload.toString("base64") });
  else process.stdout.write(facts.payload);
  return EXIT.ok;
}

function toJson(facts: RetainedFacts): object {
  const { topic, device, qos, bytes, publishedAtUs, expiresAtUs, contentType } = facts;
  return {
    topic,
    device,
    qos,
    bytes,
    publishedAt: toIso(publishedAtUs),
    ...(expiresAtUs > 0 && { expiresAt: toIso(expiresAtUs) }),
    ...(contentType !== "" && { contentType }),
  };
}

function toIso(us: number): string {
  return new Date(us / 1_000).toISOString();
}

function showAll(shown: readonly RetainedFacts[], more: boolean, json: boolean): void {
  if (json) {
    printJson({ retained: shown.map(toJson), more });
    return;
  }
  if (shown.length === 0) {
    note("Nothing is kept.");
    return;
  }
  const table = new Table({
    head: ["topic", "bytes", "QoS", "device", "published", "expires"],
    style: { head: [], border: [] },
    colAligns: ["left", "right", "right", "left", "left", "left"],
  });
  for (const { topic, bytes, qos, device, publishedAtUs, expiresAtUs } of shown) {
    table.push([topic, bytes, qos, device, toIso(publishedAtUs), expiresAtUs > 0 ? toIso(expiresAtUs) : ""]);
  }
  print(table.toString());
  if (more) note("There are more: name a narrower filter, or a higher --limit.");
}

function topicOf(what: string | undefined): string {
  if (what !== undefined && isTopicName(what)) return what;
  throw new AppError("config.invalid", "myelin retained get needs a topic, without wildcards");
}

function filterOf(what: string | undefined, action: string): string {
  if (what !== undefined && isTopicFilter(what) && !what.startsWith("$share/")) return what;
  throw new AppError("config.invalid", `myelin retained ${action} needs an MQTT topic filter`);
}
