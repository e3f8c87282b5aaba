import type { RuleActionSpec } from "@myelin/config";
import { Kind } from "@myelin/contract";
import type { ActionPlugin } from "../action.js";
import { filledTopic, payloadOf } from "../template.js";

/** Publishes in the name of the device: routes, subscribers and other rules get it as they get any message. */
export const publishAction: ActionPlugin<NonNullable<RuleActionSpec["publish"]>> = {
  kind: "publish",
  create: ({ topic, payload, lane, retain }, { publisher }) => ({
    run(fired) {
      const { tenant, device, causes } = fired;
      const publication = {
        tenant,
        device,
        path: filledTopic(topic, fired),
        payload: Buffer.from(JSON.stringify(payloadOf(payload, fired))),
        kind: lane === "event" ? Kind.EVENT : Kind.TELEMETRY,
        retain,
        causes,
      };
      if (lane === "event") return publisher.event(publication);
      publisher.telemetry(publication);
      return undefined;
    },
  }),
};
