/** Who asks as an operator, and for which tenants. */
import type { ops } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { FastifyRequest } from "fastify";
import type { Identity } from "../../../core/admission.js";
import { HOLD } from "../../../core/connection.js";
import { credentialsOf } from "../../../core/http-auth.js";
import type { ProtocolContext } from "../../../core/protocol.js";
import { connectionOf } from "../http-connection.js";

/** An operator's request, let in. */
export interface Operator {
  readonly identity: Identity;
  /** The tenant it asks for; undefined: all. */
  readonly tenant: ops.Tenant | undefined;
  /** It has used up its rate. */
  readonly isOverRate: boolean;
}

/**
 * Asks admission for each request: a role that was taken away counts at once. The query may name a tenant.
 * @param onRate what happens to one who has used up its rate: it is refused, or that is told to whoever asks
 * @throws AppError `auth.*`, `limit.*`
 */
export async function operatorOf(
  ctx: ProtocolContext,
  request: FastifyRequest,
  onRate: "refuse" | "tellRate" = "refuse",
): Promise<Operator> {
  const connection = connectionOf(request.raw.socket);
  const isOverRate = (connection.held & HOLD.rate) !== 0;
  if (isOverRate && onRate === "refuse") throw new AppError("limit.rate", "this client asks too often");
  const { authorization = "", host } = request.headers;
  const verdict = await ctx.admission.connect({
    protocol: "http",
    port: ctx.port,
    address: connection.address,
    certificate: connection.certificate,
    deviceId: "",
    ...credentialsOf(authorization),
  });
  if (!verdict.allow) {
    ctx.metrics.refused.add(`http,${verdict.code}`);
    throw new AppError(verdict.code, "the operator is not let in");
  }
  const { identity } = verdict;
  connection.scope.checkHost(identity, host);
  connection.spend(1);
  const scope = ctx.admission.administer?.(identity);
  if (scope === undefined) throw notOpen();
  const { tenant } = request.query as { readonly tenant?: unknown };
  if (scope === "tenant") {
    if (tenant !== undefined && tenant !== identity.tenant) throw notOpen();
    return { identity, tenant: { name: identity.tenant }, isOverRate };
  }
  return { identity, tenant: typeof tenant === "string" ? { name: tenant } : undefined, isOverRate };
}

function notOpen(): AppError {
  return new AppError("auth.not_authorized", "this is open to operators only");
}
