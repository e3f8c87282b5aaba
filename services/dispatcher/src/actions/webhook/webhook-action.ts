import { createHmac } from "node:crypto";
import { type RuleActionSpec, resolveSecret } from "@myelin/config";
import { AppError, deadline } from "@myelin/kernel";
import type { ActionPlugin } from "../action.js";
import { payloadOf } from "../template.js";

/** Statuses that another try may change. */
const LATER = new Set([408, 425, 429]);

/** Posts JSON, signed as Standard Webhooks says (https://www.standardwebhooks.com). */
export const webhookAction: ActionPlugin<NonNullable<RuleActionSpec["webhook"]>> = {
  kind: "webhook",
  create: ({ url, secret, headers, payload, timeout }, { clock }) => ({
    async run(fired, signal) {
      const body = JSON.stringify(payloadOf(payload, fired));
      const id = `msg_${fired.id}`;
      const seconds = String(Math.floor(clock.wallMs() / 1000));
      const signed =
        secret === undefined
          ? undefined
          : signatureOf(`${id}.${seconds}.${body}`, (await resolveSecret(secret)).reveal());
      using within = deadline(signal, timeout, { clock, what: `the webhook ${url}` });
      let response: Response;
      try {
        response = await fetch(url, {
          method: "POST",
          body,
          // Where it leads to elsewhere is not what was declared.
          redirect: "error",
          signal: within.signal,
          headers: {
            ...headers,
            "content-type": "application/json",
            "webhook-id": id,
            "webhook-timestamp": seconds,
            ...(signed !== undefined && { "webhook-signature": `v1,${signed}` }),
          },
        });
        // Read and left: the connection can be used again.
        await response.body?.cancel();
      } catch (cause) {
        throw AppError.wrap("action.failed", `the webhook ${url} cannot be reached`, cause);
      }
      if (response.ok) return;
      const { status } = response;
      const isLater = status >= 500 || LATER.has(status);
      throw new AppError(
        isLater ? "action.failed" : "action.refused",
        `the webhook ${url} answered ${status}`,
      );
    },
  }),
};

/** Secrets of the standard begin with `whsec_` and are Base64 behind it; any other text is taken as it is. */
function signatureOf(content: string, secret: string): string {
  const key = secret.startsWith("whsec_") ? Buffer.from(secret.slice(6), "base64") : secret;
  return createHmac("sha256", key).update(content).digest("base64");
}
