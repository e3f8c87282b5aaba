/** Wire constants of `myelin.envelope.v1`: tags of the fields that hand-written code touches. */

/** `Batch.origin`, `Batch.hop`, `Batch.envelopes`: field 1, 2, 3, length-delimited. */
export const TAG_BATCH_ORIGIN = 0x0a;
export const TAG_BATCH_HOP = 0x12;
export const TAG_BATCH_ENVELOPE = 0x1a;

/** `Envelope.channel`: field 1, fixed32. */
export const TAG_CHANNEL = 0x0d;

/** Numbers of the envelope's fields. */
export const FIELD = {
  channel: 1,
  tenant: 2,
  deviceId: 3,
  path: 4,
  kind: 5,
  protocol: 6,
  contentType: 7,
  port: 8,
  profile: 9,
  id: 16,
  sourceTimeUs: 17,
  ingestTimeUs: 18,
  payload: 19,
  deviceSequence: 20,
  quality: 21,
  qualityReason: 22,
  replayed: 23,
  expiresAtUs: 24,
  traceparent: 25,
  tracestate: 26,
  schemaVersion: 27,
  headers: 28,
  versionVector: 29,
  senderId: 30,
  retain: 31,
  qos: 32,
  responsePath: 33,
  correlation: 34,
  payloadIsText: 35,
} as const;

/** Highest field number whose position a view remembers. */
export const MAX_FIELD = 35;

/** Head fields have one-byte tags below this; the first byte at or above it ends the head. */
export const HEAD_TAG_LIMIT = 0x80;

/** Length of an envelope's id. */
export const ID_BYTES = 16;

/** Bits of `Hop.flags`: what at least one envelope has. An unset bit is a promise. */
export const BATCH_FLAGS = {
  senderIds: 1,
  expiry: 2,
  headers: 4,
  traced: 8,
  uninterned: 16,
  redelivered: 32,
  retained: 64,
} as const;

/** A batch is sent when it reaches this, if the event loop has not turned before. */
export const BATCH_TARGET_BYTES = 60_000;

/** Largest batch that is accepted; the servers are configured with a `max_payload` of at least this plus headers. */
export const MAX_BATCH_BYTES = 4 * 1024 * 1024;

/** Longest origin and hop together: bounds what names of services and targets may take. */
export const MAX_BATCH_HEADER_BYTES = 64 * 1024;

/** Largest batch that is built: on later hops the header may grow, and the batch must still be accepted. */
export const MAX_BUILT_BATCH_BYTES = MAX_BATCH_BYTES - MAX_BATCH_HEADER_BYTES;

/** Largest payload of one envelope; below MAX_BUILT_BATCH_BYTES by more than a head and a header. */
export const MAX_PAYLOAD_BYTES = 3 * 1024 * 1024;

/** Longest of each head string, in UTF-8 bytes; MQTT's limit for topics holds for all. */
export const MAX_HEAD_STRING_BYTES = 65_535;
