/** The contracts services meet on: messages, batches, subjects, streams. */
export {
  APP_PROTOCOL_VERSION,
  decodeAppFrame,
  encodeAppFrame,
  frameBody,
  fromAppErrorMessage,
  TAG_FRAME_DELIVER,
  TAG_FRAME_PUBLISH,
  toAppErrorMessage,
  wrapFrame,
} from "./app/frames.js";
export * from "./batch/index.js";
export { expectNoPlatformTopic, isPlatformTopic, mayDeviceSay } from "./device-topics.js";
export * from "./filter-index/index.js";
export * as app from "./generated/myelin/app/v1/app.js";
export * as audit from "./generated/myelin/audit/v1/audit.js";
export * as command from "./generated/myelin/command/v1/command.js";
export * as control from "./generated/myelin/control/v1/control.js";
export * as envelope from "./generated/myelin/envelope/v1/envelope.js";
export { Kind, Lane, Protocol, Quality } from "./generated/myelin/envelope/v1/envelope.js";
export * as flow from "./generated/myelin/flow/v1/flow.js";
export * as history from "./generated/myelin/history/v1/history.js";
export * as mcp from "./generated/myelin/mcp/v1/mcp.js";
export * as ops from "./generated/myelin/ops/v1/ops.js";
export * as registry from "./generated/myelin/registry/v1/registry.js";
export * as resource from "./generated/myelin/resource/v1/resource.js";
export * as retained from "./generated/myelin/retained/v1/retained.js";
export * as rule from "./generated/myelin/rule/v1/rule.js";
export * as sample from "./generated/myelin/sample/v1/sample.js";
export * as session from "./generated/myelin/session/v1/session.js";
export * as shadow from "./generated/myelin/shadow/v1/shadow.js";
export * as sys from "./generated/myelin/sys/v1/sys.js";
export * from "./mcp/index.js";
export * from "./payload/index.js";
export { reflect, reflectionPaths } from "./reflection/reflection.js";
export { isSampleBlock, SAMPLES_CONTENT_TYPE } from "./sample-blocks.js";
export { groupLinkName, tryParseGroupLinkName } from "./shared-group.js";
export { escapeToken, MAX_TOKEN_CHARS, unescapeToken } from "./subjects/escape.js";
export { type OverflowOwner, overflowOwner } from "./subjects/overflow-owner.js";
export { BUCKETS, STREAMS, type StreamSpec } from "./subjects/streams.js";
export * as subjects from "./subjects/subjects.js";
export { globToRegExp, isTopicFilter, isTopicName, topicMatches } from "./topics.js";
export { type EnumName, type EnumNames, enumNames } from "./wire/enum-names.js";
export { type Decodes, strictDecode } from "./wire/strict-decode.js";
