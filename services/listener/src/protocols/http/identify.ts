/** Who sends a request: from its URL and its headers. */
import { AppError } from "@myelin/kernel";
import type { FastifyRequest } from "fastify";
import type { Identity } from "../../core/admission.js";
import { checkDeviceId, credentialsOf } from "../../core/http-auth.js";
import type { ProtocolContext } from "../../core/protocol.js";
import { connectionOf, type HttpConnection } from "./http-connection.js";

/** What a request says about its sender. */
export interface Sender {
  readonly deviceId: string;
  /** Value of Authorization; empty: none. */
  readonly authorization: string;
  /** Value of Host. */
  readonly host: string | undefined;
}

/** `identifySender` for what the library has parsed. @throws AppError as that */
export function identify(
  ctx: ProtocolContext,
  request: FastifyRequest,
  deviceId: string,
): Identity | Promise<Identity> {
  const { authorization = "", host } = request.headers;
  return identifySender(ctx, connectionOf(request.raw.socket), { deviceId, authorization, host });
}

/**
 * Asks admission, once per connection, device and header as long as the rules stay.
 * @throws AppError `auth.*`, `limit.*`, `protocol.malformed`
 */
export function identifySender(
  ctx: ProtocolContext,
  connection: HttpConnection,
  { deviceId, authorization, host }: Sender,
): Identity | Promise<Identity> {
  const { known } = connection;
  const { generation } = ctx.admission;
  if (known?.deviceId === deviceId && known.header === authorization && known.generation === generation) {
    connection.scope.checkHost(known.identity, host);
    return known.identity;
  }
  checkDeviceId(deviceId);
  const who = {
    protocol: "http",
    port: ctx.port,
    address: connection.address,
    certificate: connection.certificate,
    deviceId,
    ...credentialsOf(authorization),
  };
  const verdict = ctx.admission.connect(who);
  const decide = (v: Awaited<typeof verdict>): Identity => {
    if (!v.allow) {
      ctx.metrics.refused.add(`http,${v.code}`);
      throw new AppError(v.code, `${deviceId} is not let in`);
    }
    connection.scope.checkHost(v.identity, host);
    connection.known = { deviceId, header: authorization, generation, identity: v.identity };
    // Whose rate is spent.
    connection.identity = v.identity;
    return v.identity;
  };
  return verdict instanceof Promise ? verdict.then(decide) : decide(verdict);
}
