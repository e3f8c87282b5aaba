import { commandMetricsList, dispatcherMetricsList, ruleMetricsList } from "@myelin/dispatcher";
import { agentMetricsList } from "@myelin/hardware-agent";
import { bridgeMetricsList } from "@myelin/ipc-bridge";
import { listenerMetricsList } from "@myelin/listener";
import {
  type LabelValues,
  type MetricSpec,
  pluginMetricsList,
  processMetricsList,
} from "@myelin/observability";
import { hostMetricsList, resourceMetricsList } from "@myelin/service-host";
import { code, page, table } from "./page.js";

type MetricsList = Readonly<Record<string, MetricSpec>>;

/** More values than this are not written out. */
const MAX_VALUES_SHOWN = 12;

/** Every metric of every service, from the lists that the services register. */
export function metricsPage(): string {
  const section = (title: string, text: string, list: MetricsList): string[] => [
    `## ${title}`,
    "",
    text,
    "",
    ...table(
      ["metric", "type", "labels", "meaning"],
      Object.values(list).map(({ name, type, labels = {}, help }) => [
        code(name),
        type,
        Object.entries(labels).map(labelText).join("; "),
        help,
      ]),
    ),
  ];
  return page("Metrics", "the metrics lists of the services", [
    "`GET /metrics` on the admin port of each process, in Prometheus' text format. Labels are closed sets or names that an operator",
    "gives, never device ids or topics; beyond a label's limit, new values are counted under `other`.",
    "How to use them: [observe](../how-to/observe.md).",
    "",
    ...section("Every process", "Memory, processor, event loop.", processMetricsList),
    ...section("Components", "One series for each part of the process.", hostMetricsList),
    ...section(
      "Plugins",
      "The same four for each instance of a plugin that counts on them.",
      pluginMetricsList,
    ),
    ...section("Resources", "In processes that read resources.", resourceMetricsList),
    ...section("listener", "Connections, and what passes them.", listenerMetricsList),
    ...section("dispatcher", "The books of the hops, and what waits.", dispatcherMetricsList),
    ...section("dispatcher: commands", "What devices were told, and what became of it.", commandMetricsList),
    ...section("dispatcher: rules", "What rules look at, and what follows.", ruleMetricsList),
    ...section("ipc-bridge", "Apps, and what they have in hand.", bridgeMetricsList),
    ...section("hardware-agent", "Lines, the devices on them, and what waits for the hub.", agentMetricsList),
  ]);
}

function labelText([name, values]: [string, LabelValues]): string {
  if ("maxValues" in values) return `${code(name)} (at most ${values.maxValues})`;
  if (values.length > MAX_VALUES_SHOWN) return `${code(name)} (a closed set of ${values.length})`;
  return `${code(name)}: ${values.map((value) => code(String(value))).join(", ")}`;
}
