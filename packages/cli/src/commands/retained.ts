/** `myelin retained`: which messages are kept for subscribers to come, what one of them is, and clearing them. */
import { type Bus, deploymentPartitions } from "@myelin/bus";
import { BatchView, isTopicFilter, isTopicName, partitionOf, retained, subjects } from "@myelin/contract";
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

/** One retained message. */
export interface RetainedFacts {
  readonly topic: string;
  /** Who has published it. */
  readonly device: string;
  readonly qos: number;
  readonly bytes: number;
  readonly publishedAt: string;
  /** Absent: it stays until it is replaced or cleared. */
  readonly expiresAt?: string;
  readonly contentType?: string;
}

const ANSWER_WITHIN_MS = 5_000;
const PIECE_BYTES = 256 * 1024;

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
      const cleared = await clearRetained(bus, tenant, filterOf(what, "clear"));
      if (json) printJson({ cleared });
      else print(`Retained messages cleared: ${cleared}.`);
    } else showAll(await listRetained(bus, tenant, filterOf(what ?? "#", "list"), limit), json, limit);
    return EXIT.ok;
  });
}

/** Those that a filter matches, by topic; one more than `limit` when there are more. @throws AppError `bus.*` */
export async function listRetained(
  bus: Bus,
  tenant: string,
  filter: string,
  limit: number,
): Promise<RetainedFacts[]> {
  const partitions = await deploymentPartitions(bus);
  const found: RetainedFacts[] = [];
  for (let partition = 0; partition < partitions; partition++) {
    let ofPartition = 0;
    for (let after = "", more = true; more && ofPartition <= limit; ) {
      const answer = await ask(bus, partition, { tenant, filter, after });
      more = answer.more;
      each(answer.batch, (view) => {
        ofPartition += 1;
        after = view.path;
        found.push(factsOf(view));
      });
    }
  }
  return found.sort((a, b) => (a.topic < b.topic ? -1 : 1)).slice(0, limit + 1);
}

/** How many were there; `$`-topics only where the filter names them. @throws AppError `bus.*` */
export async function clearRetained(bus: Bus, tenant: string, filter: string): Promise<number> {
  const partitions = await deploymentPartitions(bus);
  const answers = await Promise.all(
    [...Array(partitions).keys()].map((partition) =>
      bus.request(
        subjects.retainedClear(partition),
        retained.ClearRequest.encode({ partition, tenant, filter }).finish(),
        ANSWER_WITHIN_MS,
      ),
    ),
  );
  return answers.reduce((sum, answer) => sum + retained.ClearAnswer.decode(answer).cleared, 0);
}

async function ask(bus: Bus, partition: number, want: retained.Want): Promise<retained.Found> {
  const request = retained.QueryRequest.encode({ partition, wants: [want], maxBytes: PIECE_BYTES }).finish();
  const answer = await bus.request(subjects.retainedQuery(partition), request, ANSWER_WITHIN_MS);
  return retained.QueryAnswer.decode(answer).found[0] ?? { batch: Buffer.alloc(0), more: false };
}

function each(batch: Uint8Array, visit: (view: BatchView) => void): void {
  if (batch.length === 0) return;
  const view = new BatchView().reset(batch);
  while (view.next()) visit(view);
}

async function showOne(bus: Bus, tenant: string, topic: string, json: boolean): Promise<number> {
  const partition = partitionOf(tenant, topic, await deploymentPartitions(bus));
  const { batch } = await ask(bus, partition, { tenant, filter: topic, after: "" });
  let payload: Buffer | undefined;
  let facts: RetainedFacts | undefined;
  each(batch, (view) => {
    payload = Buffer.from(view.payload());
    facts = factsOf(view);
  });
  if (payload === undefined) {
    note(`Nothing is kept of ${topic}.`);
    return EXIT.failed;
  }
  if (json) printJson({ ...facts, payload: payload.toString("base64") });
  else process.stdout.write(payload);
  return EXIT.ok;
}

function factsOf(view: BatchView): RetainedFacts {
  const { path: topic, deviceId: device, qos, contentType, expiresAtUs, ingestTimeUs } = view;
  return {
    topic,
    device,
    qos,
    bytes: view.payloadEnd - view.payloadStart,
    publishedAt: toIso(ingestTimeUs),
    ...(expiresAtUs > 0 && { expiresAt: toIso(expiresAtUs) }),
    ...(contentType !== "" && { contentType }),
  };
}

function toIso(us: number): string {
  return new Date(us / 1_000).toISOString();
}

function showAll(found: readonly RetainedFacts[], json: boolean, limit: number): void {
  const shown = found.slice(0, limit);
  if (json) {
    printJson({ retained: shown, more: found.length > limit });
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
  for (const { topic, bytes, qos, device, publishedAt, expiresAt = "" } of shown) {
    table.push([topic, bytes, qos, device, publishedAt, expiresAt]);
  }
  print(table.toString());
  if (found.length > limit) note("There are more: name a narrower filter, or a higher --limit.");
}

function topicOf(what: string | undefined): string {
  if (what !== undefined && isTopicName(what)) return what;
  throw new AppError("config.invalid", "myelin retained get needs a topic, without wildcards");
}

function filterOf(what: string | undefined, action: string): string {
  if (what !== undefined && isTopicFilter(what) && !what.startsWith("$share/")) return what;
  throw new AppError("config.invalid", `myelin retained ${action} needs an MQTT topic filter`);
}
