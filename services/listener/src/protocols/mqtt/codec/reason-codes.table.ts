/** Reason codes of MQTT 5 (section 2.4) and return codes of MQTT 3.1.1 (section 3.2.2.3) that this side sends. */

export const REASON = {
  success: 0x00,
  disconnectWithWill: 0x04,
  noMatchingSubscribers: 0x10,
  noSubscriptionExisted: 0x11,
  continueAuthentication: 0x18,
  reAuthenticate: 0x19,
  unspecified: 0x80,
  malformedPacket: 0x81,
  protocolError: 0x82,
  implementationError: 0x83,
  unsupportedVersion: 0x84,
  clientIdNotValid: 0x85,
  badUserNameOrPassword: 0x86,
  notAuthorized: 0x87,
  serverUnavailable: 0x88,
  serverBusy: 0x89,
  badAuthenticationMethod: 0x8c,
  keepAliveTimeout: 0x8d,
  sessionTakenOver: 0x8e,
  topicFilterInvalid: 0x8f,
  topicNameInvalid: 0x90,
  packetIdInUse: 0x91,
  packetIdNotFound: 0x92,
  receiveMaximumExceeded: 0x93,
  topicAliasInvalid: 0x94,
  packetTooLarge: 0x95,
  messageRateTooHigh: 0x96,
  quotaExceeded: 0x97,
  administrativeAction: 0x98,
  payloadFormatInvalid: 0x99,
  serverShuttingDown: 0x8b,
  useAnotherServer: 0x9c,
  connectionRateExceeded: 0x9f,
} as const;

export type Reason = (typeof REASON)[keyof typeof REASON];

/** Packets of a server that say no with a reason of their own table: CONNACK, PUBACK or PUBREC, DISCONNECT. */
export type Refusal = "connack" | "answer" | "disconnect";

/** The reasons above 0x80 that a server may give in each (tables 3-1, 3-4 and 3-5, 3-10). */
const SAYABLE: Readonly<Record<Refusal, ReadonlySet<number>>> = {
  connack: new Set([
    0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a,
    0x9b, 0x9c, 0x9d, 0x9f,
  ]),
  answer: new Set([0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]),
  disconnect: new Set([
    0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98,
    0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
  ]),
};

/** What says nearly the same where a packet cannot say it; the first that it can. */
const NEAREST: ReadonlyMap<Reason, readonly Reason[]> = new Map<Reason, readonly Reason[]>([
  [REASON.messageRateTooHigh, [REASON.connectionRateExceeded, REASON.quotaExceeded]],
  [REASON.connectionRateExceeded, [REASON.quotaExceeded]],
  [REASON.serverShuttingDown, [REASON.serverUnavailable]],
  [REASON.serverUnavailable, [REASON.serverBusy]],
  [REASON.administrativeAction, [REASON.notAuthorized]],
  [REASON.badUserNameOrPassword, [REASON.notAuthorized]],
  [REASON.badAuthenticationMethod, [REASON.notAuthorized]],
  [REASON.packetTooLarge, [REASON.quotaExceeded]],
]);

/** The reason as the packet can give it. Reasons below 0x80 are no refusals and stay. */
export function sayable(packet: Refusal, reason: Reason): Reason {
  const known = SAYABLE[packet];
  if (reason < 0x80 || known.has(reason)) return reason;
  return NEAREST.get(reason)?.find((other) => known.has(other)) ?? REASON.unspecified;
}

/** CONNACK return codes before MQTT 5. */
export const RETURN_CODE = {
  accepted: 0,
  unacceptableVersion: 1,
  identifierRejected: 2,
  serverUnavailable: 3,
  badUserNameOrPassword: 4,
  notAuthorized: 5,
} as const;

/** The return code that says most nearly what the reason says. */
export function returnCodeOf(reason: Reason): number {
  switch (reason) {
    case REASON.success:
      return RETURN_CODE.accepted;
    case REASON.unsupportedVersion:
      return RETURN_CODE.unacceptableVersion;
    case REASON.clientIdNotValid:
      return RETURN_CODE.identifierRejected;
    case REASON.badUserNameOrPassword:
      return RETURN_CODE.badUserNameOrPassword;
    case REASON.notAuthorized:
    case REASON.badAuthenticationMethod:
      return RETURN_CODE.notAuthorized;
    default:
      return RETURN_CODE.serverUnavailable;
  }
}
