/** Control packet types (first nibble) and properties of MQTT. */

export const PACKET = {
  connect: 1,
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  suback: 9,
  unsubscribe: 10,
  unsuback: 11,
  pingreq: 12,
  pingresp: 13,
  disconnect: 14,
  auth: 15,
} as const;

/** Property identifiers of MQTT 5, table 2-4. */
export const PROPERTY = {
  payloadFormat: 1,
  messageExpiry: 2,
  contentType: 3,
  responseTopic: 8,
  correlationData: 9,
  subscriptionId: 11,
  sessionExpiry: 17,
  assignedClientId: 18,
  serverKeepAlive: 19,
  authMethod: 21,
  authData: 22,
  requestProblemInformation: 23,
  willDelay: 24,
  requestResponseInformation: 25,
  responseInformation: 26,
  serverReference: 28,
  reasonString: 31,
  receiveMaximum: 33,
  topicAliasMaximum: 34,
  topicAlias: 35,
  maximumQos: 36,
  userProperty: 38,
  maximumPacketSize: 39,
} as const;

/** How a property's value is written: bytes of a number, or a form. */
export type PropertyForm = 1 | 2 | 4 | "varint" | "text" | "binary" | "pair";

/** A bit per place where a property may stand. */
export const AT = {
  connect: 1,
  will: 2,
  publish: 4,
  subscribe: 8,
  unsubscribe: 16,
  ack: 32,
  disconnect: 64,
  auth: 128,
} as const;
export type Place = (typeof AT)[keyof typeof AT];

/** Form and places of each property that a client may send. */
export const CLIENT_PROPERTIES: ReadonlyMap<
  number,
  { readonly form: PropertyForm; readonly places: number; readonly many: boolean }
> = new Map([
  [PROPERTY.payloadFormat, { form: 1, places: AT.publish | AT.will, many: false }],
  [PROPERTY.messageExpiry, { form: 4, places: AT.publish | AT.will, many: false }],
  [PROPERTY.contentType, { form: "text", places: AT.publish | AT.will, many: false }],
  [PROPERTY.responseTopic, { form: "text", places: AT.publish | AT.will, many: false }],
  [PROPERTY.correlationData, { form: "binary", places: AT.publish | AT.will, many: false }],
  [PROPERTY.subscriptionId, { form: "varint", places: AT.subscribe, many: false }],
  [PROPERTY.sessionExpiry, { form: 4, places: AT.connect | AT.disconnect, many: false }],
  [PROPERTY.authMethod, { form: "text", places: AT.connect | AT.auth, many: false }],
  [PROPERTY.authData, { form: "binary", places: AT.connect | AT.auth, many: false }],
  [PROPERTY.requestProblemInformation, { form: 1, places: AT.connect, many: false }],
  [PROPERTY.willDelay, { form: 4, places: AT.will, many: false }],
  [PROPERTY.requestResponseInformation, { form: 1, places: AT.connect, many: false }],
  [PROPERTY.reasonString, { form: "text", places: AT.ack | AT.disconnect | AT.auth, many: false }],
  [PROPERTY.receiveMaximum, { form: 2, places: AT.connect, many: false }],
  [PROPERTY.topicAliasMaximum, { form: 2, places: AT.connect, many: false }],
  [PROPERTY.topicAlias, { form: 2, places: AT.publish, many: false }],
  [PROPERTY.maximumPacketSize, { form: 4, places: AT.connect, many: false }],
  [PROPERTY.userProperty, { form: "pair", places: 0xff, many: true }],
]);
