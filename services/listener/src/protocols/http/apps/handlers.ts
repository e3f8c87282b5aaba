/** What answers the routes of apps and agents. */
import { agentJson, appJson } from "@myelin/bus";
import { AppError } from "@myelin/kernel";
import type { FastifyReply, FastifyRequest, RouteHandlerMethod } from "fastify";
import type { ProtocolContext } from "../../../core/protocol.js";
import { operatorOf } from "../admin/operator.js";

/** By the names of the routes. */
export function appHandlers(ctx: ProtocolContext) {
  const { apps } = ctx;
  const handler =
    (answer: (request: FastifyRequest) => Promise<object>): RouteHandlerMethod =>
    async (request, reply): Promise<FastifyReply> => {
      await letIn(ctx, request);
      return reply.type("application/json").send(JSON.stringify(await answer(request)));
    };
  return {
    listApps: handler(async () => ({ apps: (await apps.list()).map(appJson) })),
    readApp: handler(async ({ params }) => appJson(await apps.get((params as { readonly app: string }).app))),
    listAgents: handler(async () => ({ agents: (await apps.agents()).map(agentJson) })),
  };
}

/** Apps and agents are not of one tenant, so they are shown to nobody who is. */
async function letIn(ctx: ProtocolContext, request: FastifyRequest): Promise<void> {
  const { identity } = await operatorOf(ctx, request);
  if (ctx.admission.administer?.(identity) !== "tenant") return;
  throw new AppError("auth.not_authorized", "this is open to operators of all tenants only");
}
