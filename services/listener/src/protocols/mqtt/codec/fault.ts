/** What is wrong with a packet, in the terms of MQTT and of the malformed counter. */
import { AppError, type ErrorCode } from "@myelin/kernel";
import { REASON, type Reason } from "./reason-codes.table.js";

/** Label of the malformed counter: a closed set. */
export type FaultLabel =
  | "remaining_length"
  | "packet_type"
  | "flags"
  | "truncated"
  | "trailing"
  | "utf8"
  | "protocol_name"
  | "protocol_version"
  | "connect_flags"
  | "client_id"
  | "property"
  | "packet_id"
  | "qos"
  | "topic"
  | "filter"
  | "payload_empty"
  | "reason_code"
  | "order"
  | "alias"
  | "receive_maximum"
  | "too_large"
  | "auth";

/** A broken rule: `reason` for MQTT 5, `label` for the counter. Always ends the connection. */
export class MqttFault extends AppError {
  constructor(
    readonly label: FaultLabel,
    readonly reason: Reason,
    message: string,
  ) {
    super(codeOf(reason), message);
  }
}

function codeOf(reason: Reason): ErrorCode {
  if (reason === REASON.packetTooLarge) return "limit.frame_too_large";
  if (reason === REASON.malformedPacket) return "protocol.malformed";
  return "protocol.violation";
}

/** Bytes that MQTT cannot contain. */
export function malformed(label: FaultLabel, message: string): MqttFault {
  return new MqttFault(label, REASON.malformedPacket, message);
}

/** Well-formed, but not allowed here. */
export function violation(label: FaultLabel, message: string): MqttFault {
  return new MqttFault(label, REASON.protocolError, message);
}

/** A packet above the limit of the port. */
export function tooLarge(length: number, max: number): MqttFault {
  return new MqttFault(
    "too_large",
    REASON.packetTooLarge,
    `a packet of ${length} bytes where ${max} are allowed`,
  );
}
