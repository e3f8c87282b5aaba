/** The rules of an ACL file: who may publish and subscribe where; the first that fits decides. */
import { array, type Infer, object, oneOf, optional, string } from "@myelin/config";
import type { Identity } from "../../core/admission.js";

const MAX_RULES = 10_000;
const names = (what: string) =>
  optional(
    array(
      string({ description: `${what}; \`*\` and \`?\` as in file names.`, minLength: 1, maxLength: 1024 }),
      {
        description: `${what}: any of these; left out, all.`,
        maxItems: 10_000,
      },
    ),
  );

export const aclSchema = object({
  rules: array(
    object({
      effect: oneOf(["allow", "deny"], { description: "What the rule says when it fits." }),
      action: oneOf(["publish", "subscribe", "all"], {
        default: "all",
        description: "What the client wants to do.",
      }),
      users: names("User names"),
      devices: names("Device ids"),
      topics: optional(
        array(
          string({
            description: "Topic filter; %c stands for the client id, %u for the user, %d for the device id.",
            minLength: 1,
            maxLength: 65_535,
          }),
          { description: "Topic filters: any of these; left out, all topics.", maxItems: 10_000 },
        ),
      ),
    }),
    { description: "Tried in order; what no rule fits is denied.", maxItems: MAX_RULES },
  ),
});

export type AclFile = Infer<typeof aclSchema>;
type RuleSpec = AclFile["rules"][number];

interface Rule {
  readonly allow: boolean;
  readonly publish: boolean;
  readonly subscribe: boolean;
  readonly user: RegExp | undefined;
  readonly device: RegExp | undefined;
  readonly topics: readonly (readonly string[])[] | undefined;
}

/** Compiled rules; answers are pure and take no longer than the rules are many. */
export class Acl {
  private readonly rules: readonly Rule[];

  constructor(file: AclFile) {
    this.rules = file.rules.map(compile);
  }

  /** Undefined: no rule fits. A filter is allowed only when everything it could match is. */
  decide(action: "publish" | "subscribe", identity: Identity, topic: string): boolean | undefined {
    const levels = topic.split("/");
    for (const rule of this.rules) {
      if (!(action === "publish" ? rule.publish : rule.subscribe)) continue;
      if (rule.user !== undefined && !rule.user.test(identity.user)) continue;
      if (rule.device !== undefined && !rule.device.test(identity.deviceId)) continue;
      if (rule.topics === undefined) return rule.allow;
      for (const pattern of rule.topics) {
        // A denied topic inside a wanted filter denies the filter: overlap is enough for `deny`, `allow` needs all of it.
        const fits = rule.allow
          ? covers(pattern, levels, identity)
          : overlaps(pattern, levels, identity, action === "subscribe");
        if (fits) return rule.allow;
      }
    }
    return undefined;
  }
}

function compile(spec: RuleSpec): Rule {
  return {
    allow: spec.effect === "allow",
    publish: spec.action !== "subscribe",
    subscribe: spec.action !== "publish",
    user: globs(spec.users),
    device: globs(spec.devices),
    topics: spec.topics?.map((topic) => topic.split("/")),
  };
}

function globs(patterns: readonly string[] | undefined): RegExp | undefined {
  if (patterns === undefined) return undefined;
  const parts = patterns.map((pattern) =>
    pattern
      .replace(/[.+^${}()|[\]\\]/g, "\\$&")
      .replace(/\*+/g, ".*")
      .replaceAll("?", "."),
  );
  return new RegExp(`^(?:${parts.join("|")})$`, "su");
}

/** A level of a rule with its placeholders filled in; undefined when the client's name cannot be a level. */
function fill(level: string, identity: Identity): string | undefined {
  if (!level.includes("%")) return level;
  let usable = true;
  const filled = level.replace(/%[cud]/g, (placeholder) => {
    const value =
      placeholder === "%u"
        ? identity.user
        : placeholder === "%d"
          ? identity.deviceId
          : (identity.clientId ?? identity.deviceId);
    // A name with a slash or a wildcard in it would reach beyond its level.
    if (value === "" || /[/+#]/.test(value)) usable = false;
    return value;
  });
  return usable ? filled : undefined;
}

/** Does the rule's filter match everything that `levels`, a topic or a filter, stands for? */
export function covers(pattern: readonly string[], levels: readonly string[], identity: Identity): boolean {
  if (levels[0]?.startsWith("$") && (pattern[0] === "+" || pattern[0] === "#")) return false;
  for (let i = 0; i < pattern.length; i++) {
    const rule = pattern[i]!;
    if (rule === "#") return true;
    const level = levels[i];
    if (level === undefined || level === "#") return false;
    if (rule === "+") continue;
    if (level === "+" || fill(rule, identity) !== level) return false;
  }
  return levels.length === pattern.length;
}

/** Is there a topic that both match? Without `wildcards` the levels are a topic name. */
export function overlaps(
  pattern: readonly string[],
  levels: readonly string[],
  identity: Identity,
  wildcards: boolean,
): boolean {
  const leading = [pattern[0], levels[0]];
  const dollar = leading.some((level) => level?.startsWith("$"));
  if (dollar && leading.some((level) => level === "+" || level === "#")) return false;
  for (let i = 0; ; i++) {
    const rule = pattern[i];
    const level = levels[i];
    if (rule === "#" || (wildcards && level === "#")) return true;
    if (rule === undefined || level === undefined) {
      // `a/#` matches `a` too.
      return (
        (rule === undefined && level === undefined) ||
        (level === undefined && rule === "#") ||
        (rule === undefined && wildcards && level === "#")
      );
    }
    if (rule === "+" || (wildcards && level === "+")) continue;
    if (fill(rule, identity) !== level) return false;
  }
}
