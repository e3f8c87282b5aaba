/** Every metric of rules; the list is the reference page's source. */
import { defineMetrics, type MetricsRegistry } from "@myelin/observability";
import type { RuleTable } from "./rule-table.js";
import type { Rules } from "./rules.js";

const OUTCOMES = ["done", "failed", "limited", "broken", "replayed"] as const;
const REASONS = ["failed", "late", "overBudget", "forgotten", "cooled", "crowded"] as const;
const WORDS = {
  failed: "expression_failed",
  late: "late_sample",
  overBudget: "list_over_budget",
  forgotten: "device_forgotten",
  cooled: "cooldown",
  crowded: "too_many_pending",
} as const;

/** What the dispatcher shows of rules. */
export const ruleMetricsList = defineMetrics({
  inForce: {
    type: "gauge",
    name: "myelin_dispatcher_rules",
    help: "Rules in force, also those that only observe.",
  },
  evaluations: {
    type: "counter",
    name: "myelin_dispatcher_rule_evaluations_total",
    help: "Conditions of rules that were evaluated.",
  },
  firings: {
    type: "counter",
    name: "myelin_dispatcher_rule_firings_total",
    help: "Times that a rule has fired, or that what it fired for was over.",
  },
  passed: {
    type: "counter",
    name: "myelin_dispatcher_rule_passed_over_total",
    help: "What rules could not look at or act on, by reason.",
    labels: { reason: Object.values(WORDS) },
  },
  actions: {
    type: "counter",
    name: "myelin_dispatcher_rule_actions_total",
    help: "Actions of rules by what became of them: done, given up, over the rate of the rule, left alone because they kept failing, or not done for what was kept during an outage.",
    labels: { outcome: OUTCOMES },
  },
  pending: {
    type: "gauge",
    name: "myelin_dispatcher_rule_pending_firings",
    help: "Firings whose actions are not done.",
  },
  alarms: {
    type: "gauge",
    name: "myelin_dispatcher_open_alarms",
    help: "Alarms that are not cleared, in the owned partitions.",
  },
  devices: {
    type: "gauge",
    name: "myelin_dispatcher_rule_devices",
    help: "Devices about which rules remember something, in the owned partitions.",
  },
});

/** Registers the list and fills it before each scrape. */
export function foldRuleMetrics(registry: MetricsRegistry, rules: Rules, table: RuleTable): void {
  const page = registry.register(ruleMetricsList);
  page.alarms.onCollect(() => {
    page.inForce.with().set(table.size);
    const { counted } = rules;
    page.evaluations.with().value = counted.evaluations;
    page.firings.with().value = counted.firings;
    for (const reason of REASONS) page.passed.with({ reason: WORDS[reason] }).value = counted[reason];
    for (const outcome of OUTCOMES) page.actions.with({ outcome }).value = table.counters[outcome];
    let [alarms, pending, devices] = [0, 0, 0];
    for (const shard of rules.shards()) {
      alarms += shard.alarms.open;
      pending += shard.pending;
      devices += shard.engine.size;
    }
    page.alarms.with().set(alarms);
    page.pending.with().set(pending);
    page.devices.with().set(devices);
  });
}
