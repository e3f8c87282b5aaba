import type { RuleActionSpec } from "@myelin/config";
import type { ActionPlugin } from "../action.js";
import { filled } from "../template.js";

/** Raises an alarm; it ends by itself when the rule is over. */
export const alarmAction: ActionPlugin<NonNullable<RuleActionSpec["alarm"]>> = {
  kind: "alarm",
  isImmediate: true,
  create: ({ message, key }, { raise }) => ({
    run(fired) {
      const text = message === undefined ? fired.description || fired.rule : filled(message, fired);
      raise(fired, { key: key === undefined ? fired.rule : filled(key, fired), message: text });
    },
  }),
};
