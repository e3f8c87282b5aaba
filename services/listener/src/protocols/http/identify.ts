/** Who sends a request: from its URL and its Authorization header. */
import { AppError } from "@myelin/kernel";
import type { FastifyRequest } from "fastify";
import type { Identity } from "../../core/admission.js";
import { checkDeviceId, credentialsOf } from "../../core/http-auth.js";
import type { ProtocolContext } from "../../core/protocol.js";
import { connectionOf } from "./http-connection.js";

/**
 * Asks admission, once per connection, device and header as long as the rules stay.
 * @throws AppError `auth.*`, `limit.*`, `protocol.malformed`
 */
export function identify(
  ctx: ProtocolContext,
  request: FastifyRequest,
  deviceId: string,
): Identity | Promise<Identity> {
  const connection = connectionOf(request.raw.socket);
  const header = request.headers.authorization ?? "";
  const { known } = connection;
  const { generation } = ctx.admission;
  if (known?.deviceId === deviceId && known.header === header && known.generation === generation) {
    return known.identity;
  }
  checkDeviceId(deviceId);
  const who = {
    protocol: "http",
    port: ctx.port,
    address: connection.address,
    deviceId,
    ...credentialsOf(header),
  };
  const verdict = ctx.admission.connect(who);
  const decide = (v: Awaited<typeof verdict>): Identity => {
    if (!v.allow) {
      ctx.metrics.refused.add(`http,${v.code}`);
      throw new AppError(v.code, `${deviceId} is not let in`);
    }
    connection.known = { deviceId, header, generation, identity: v.identity };
    // Whose rate is spent.
    connection.identity = v.identity;
    return v.identity;
  };
  return verdict instanceof Promise ? verdict.then(decide) : decide(verdict);
}
