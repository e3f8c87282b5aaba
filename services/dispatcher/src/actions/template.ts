/** Texts of actions with places for what the rule knows. */
import type { Value } from "@myelin/rules";
import type { FiredRule } from "./action.js";

const PLACE = /\$\{([A-Za-z][A-Za-z0-9_]*)\}/g;

/** The text with its places filled; a name that nothing is known of leaves nothing. Lists are written as JSON. */
export function filled(text: string, fired: FiredRule): string {
  return text.replaceAll(PLACE, (_, name: string) => {
    const value = knownOf(name, fired);
    return typeof value === "object" ? JSON.stringify(value) : String(value ?? "");
  });
}

/** As `filled`, for a topic: what would be a wildcard or a level of its own is written as `_`. */
export function filledTopic(text: string, fired: FiredRule): string {
  return text.replaceAll(PLACE, (_, name: string) =>
    String(knownOf(name, fired) ?? "").replaceAll(/[+#/\0]/g, "_"),
  );
}

/** Fields, each filled; one that is a place alone keeps the type of its value, and is left out where nothing is known. */
export function filledFields(
  fields: Readonly<Record<string, string>>,
  fired: FiredRule,
): Readonly<Record<string, Value>> {
  const out: [string, Value][] = [];
  for (const [name, text] of Object.entries(fields)) {
    const place = /^\$\{([A-Za-z][A-Za-z0-9_]*)\}$/.exec(text)?.[1];
    const value = place === undefined ? filled(text, fired) : knownOf(place, fired);
    if (value !== undefined) out.push([name, value]);
  }
  return Object.fromEntries(out);
}

/** What is sent where a rule does not say what: the firing itself. */
export function payloadOf(
  fields: Readonly<Record<string, string>> | undefined,
  fired: FiredRule,
): Readonly<Record<string, unknown>> {
  if (fields !== undefined) return filledFields(fields, fired);
  const { id, rule, description, severity, device, tenant, state, atMs, values, topic } = fired;
  return {
    id,
    rule,
    ...(description !== "" && { description }),
    severity,
    ...(tenant !== "" && { tenant }),
    device,
    state,
    time: new Date(atMs).toISOString(),
    ...(topic !== "" && { topic }),
    values,
  };
}

function knownOf(name: string, fired: FiredRule): Value | undefined {
  if (Object.hasOwn(fired.values, name)) return fired.values[name];
  switch (name) {
    case "device":
    case "rule":
    case "severity":
    case "state":
    case "topic":
      return fired[name];
    case "time":
      return new Date(fired.atMs).toISOString();
    default:
      return undefined;
  }
}
