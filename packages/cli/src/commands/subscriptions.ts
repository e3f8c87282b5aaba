/** `myelin subscriptions`: which connected clients subscribe to what. */
import { isTopicName } from "@myelin/contract";
import { AppError, systemClock } from "@myelin/kernel";
import { OperationsClient, pageJson, subscriptionJson } from "@myelin/listener/operations";
import { EXIT, printJson } from "../output.js";
import { withBus } from "./client.js";
import { type ListOptions, notePage, table, tenantOf } from "./operator-lists.js";

export interface SubscriptionsOptions extends ListOptions {
  readonly client?: string;
  readonly filter?: string;
  readonly topic?: string;
}

/** @throws AppError `config.invalid` for a topic that is none, `request.no_responder`, `bus.*` */
export async function subscriptions(options: SubscriptionsOptions): Promise<number> {
  const { client = "", filter = "", topic = "" } = options;
  if (topic !== "" && !isTopicName(topic)) {
    throw new AppError("config.invalid", `"${topic}" is not a topic: it holds +, # or NUL.`);
  }
  return withBus(options, async (bus) => {
    const operations = new OperationsClient(bus, systemClock);
    const { cursor, limit } = options;
    const page = await operations.subscriptions({
      tenant: tenantOf(options),
      client,
      filter,
      topic,
      cursor,
      limit,
    });
    if (options.json) {
      printJson(pageJson("subscriptions", page, subscriptionJson));
      return EXIT.ok;
    }
    table(
      ["filter", "client", "QoS", "options", "listener"],
      page.entries.map((s) => [
        s.filter,
        s.tenant === "" ? s.device : `${s.tenant}: ${s.device}`,
        s.qos,
        [
          s.noLocal ? "no local" : "",
          s.retainAsPublished ? "retain as published" : "",
          s.subscriptionId > 0 ? `id ${s.subscriptionId}` : "",
        ]
          .filter((option) => option !== "")
          .join(", "),
        s.listener,
      ]),
      "Nobody who is connected subscribes to that.",
    );
    notePage(page);
    return EXIT.ok;
  });
}
