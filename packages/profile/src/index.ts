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
export type { Sample, SampleQuality, SampleReason, SampleValue } from "./sample.js";
