export { decodeSampleBlock, MAX_BLOCK_POINTS } from "./columns/block-decoder.js";
export { BlockEncoder } from "./columns/block-encoder.js";
export { ChangeFilter } from "./columns/change-filter.js";
export { ColumnJudge } from "./columns/column-judge.js";
export {
  FORM,
  QUALITY,
  qualityOf,
  type RawColumns,
  REASON,
  reasonOf,
  SampleColumns,
  verdictOf,
} from "./columns/columns.js";
export { isChange } from "./deadband.js";
export type { ProfiledMessage } from "./decoder.js";
export {
  type Condition,
  compileCondition,
  compileExpression,
  type Expression,
  type Variables,
  type VariableType,
  variablesOf,
} from "./expression.js";
export { checkParameters, type Parameters } from "./parameters.js";
export { Profile, type ProfileCommand } from "./profile.js";
export {
  type DenialReason,
  type LastAllowed,
  type SafetyDecision,
  SafetyEnvelope,
  type SafetyInput,
  type SafetyInputs,
  type SafetyRequest,
} from "./safety.js";
export {
  type RawValue,
  SAMPLE_QUALITIES,
  SAMPLE_REASONS,
  type Sample,
  type SampleQuality,
  type SampleReason,
  type SampleValue,
} from "./sample.js";
