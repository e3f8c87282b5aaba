import type { RuleActionSpec } from "@myelin/config";
import { app, fromAppErrorMessage, subjects } from "@myelin/contract";
import type { ActionPlugin } from "../action.js";
import { payloadOf } from "../template.js";

/** Calls an application, and has succeeded when that has answered without an error. */
export const appAction: ActionPlugin<NonNullable<RuleActionSpec["app"]>> = {
  kind: "app",
  create: ({ name, method, payload, timeout }, { bus }) => ({
    async run(fired) {
      const request = app.Request.fromPartial({
        target: method,
        payload: Buffer.from(JSON.stringify(payloadOf(payload, fired))),
        contentType: "application/json",
        timeoutMs: timeout,
        from: `rule:${fired.rule}`,
      });
      const answer = await bus.request(
        subjects.appRequest(name),
        app.Request.encode(request).finish(),
        timeout,
      );
      const { error } = app.Response.decode(answer);
      if (error !== undefined) throw fromAppErrorMessage(error);
    },
  }),
};
