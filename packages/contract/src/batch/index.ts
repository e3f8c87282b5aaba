export { BatchBuilder } from "./builder.js";
export { type Channel, createChannel, MAX_CHANNEL_NUMBER } from "./channel.js";
export { checkExtras, type EnvelopeExtras } from "./extras.js";
export { BatchForwarder } from "./forwarder.js";
export { EMPTY_HEAD, encodeHead, type Head } from "./head.js";
export { encodeOrigin, type HopCounters, HopHeader, type LinkIdentity } from "./header.js";
export {
  BATCH_FLAGS,
  BATCH_TARGET_BYTES,
  ID_BYTES,
  MAX_BATCH_BYTES,
  MAX_BATCH_HEADER_BYTES,
  MAX_BUILT_BATCH_BYTES,
  MAX_HEAD_STRING_BYTES,
  MAX_PAYLOAD_BYTES,
} from "./layout.js";
export { partitionOf } from "./partition.js";
export { envelopeIdOf } from "./sender-id.js";
export { Stamp } from "./stamp.js";
export { BatchView, checkEnvelopeCount, countEnvelopes } from "./view.js";
