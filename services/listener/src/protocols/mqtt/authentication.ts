/** Enhanced authentication of MQTT 5 (4.12): packets go back and forth until admission has decided. */
import type {
  AuthenticationExchange,
  AuthenticationStep,
  ConnectVerdict,
  Credentials,
} from "../../core/admission.js";
import { readAuth } from "./codec/acks.js";
import { violation } from "./codec/fault.js";
import type { Properties } from "./codec/properties.js";
import type { PacketReader } from "./codec/reader.js";
import { REASON } from "./codec/reason-codes.table.js";
import type { ServerProperties } from "./codec/server-properties.js";
import { writeAuth } from "./codec/writer.js";
import type { MqttConnection } from "./mqtt-connection.js";
import { STATE } from "./state.js";

/** Kept with the connection for as long as it lasts: the client may authenticate again. */
export interface Authentication {
  readonly method: string;
  readonly who: Credentials;
  /** Undefined while none goes on. */
  exchange: AuthenticationExchange | undefined;
  /** Goes on with CONNECT; undefined once the client is connected. */
  connect: ((verdict: ConnectVerdict, proof: Proof) => void) | undefined;
}

/** What a client is told at the end of an exchange. */
export type Proof = Pick<ServerProperties, "authMethod" | "authData">;

/** A CONNECT that names a method; `connect` is told of the end of the exchange. False: the method is not offered. */
export function beginExchange(
  c: MqttConnection,
  { authMethod: method = "", authData = Buffer.alloc(0) }: Properties,
  who: Credentials,
  connect: (verdict: ConnectVerdict, proof: Proof) => void,
): boolean {
  const exchange = c.shared.ctx.admission.authenticate?.(method, who);
  if (exchange === undefined) return false;
  c.authentication = { method, who, exchange, connect };
  step(c, authData);
  return true;
}

/** AUTH of a client. @throws MqttFault */
export function onAuth(c: MqttConnection, reader: PacketReader): void {
  const { authentication } = c;
  if (authentication === undefined) throw violation("auth", "AUTH although no method was agreed on");
  const { reason, method, data } = readAuth(reader);
  if (method !== authentication.method) throw violation("auth", "AUTH with another method than CONNECT");
  const again = reason === REASON.reAuthenticate;
  if (again !== (authentication.exchange === undefined)) {
    throw violation("auth", again ? "a new exchange within another" : "AUTH outside of an exchange");
  }
  if (again) authentication.exchange = c.shared.ctx.admission.authenticate?.(method, authentication.who);
  step(c, data);
}

function step(c: MqttConnection, data: Uint8Array): void {
  const { exchange } = c.authentication!;
  // Its bytes belong to the chunk that is being read.
  const result = exchange?.step(Buffer.from(data)) ?? REFUSED;
  onStep(c, result);
}

const REFUSED: AuthenticationStep = {
  data: Buffer.alloc(0),
  verdict: { allow: false, code: "auth.bad_credentials" },
};

function onStep(c: MqttConnection, { data, verdict }: AuthenticationStep): void {
  const authentication = c.authentication!;
  const { method: authMethod, connect } = authentication;
  const proof = { authMethod, authData: data.length > 0 ? data : undefined };
  if (verdict === undefined) {
    if (connect !== undefined) c.state = STATE.authenticating;
    writeAuth(c.outbox(), REASON.continueAuthentication, proof);
    return;
  }
  authentication.exchange = authentication.connect = undefined;
  if (connect !== undefined) {
    connect(verdict, proof);
    return;
  }
  // Who it is cannot change under its subscriptions and channels (4.12.1 leaves that to the server).
  if (!verdict.allow || verdict.identity.user !== c.identity.user) c.disconnect("revoked");
  else writeAuth(c.outbox(), REASON.success, proof);
}
