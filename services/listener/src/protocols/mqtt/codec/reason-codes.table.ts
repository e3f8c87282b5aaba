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
} as const;

export type Reason = (typeof REASON)[keyof typeof REASON];

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
