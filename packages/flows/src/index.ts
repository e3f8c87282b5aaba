export { applyEvent } from "./apply.js";
export {
  type CompiledAction,
  type CompiledEach,
  type CompiledFlow,
  type CompiledStep,
  compileFlow,
  type FlowProblem,
} from "./compile.js";
export { attemptsUnderWay, type Decision, type Next, nextOf } from "./next.js";
export { planOf, type RetryPlan, type RunPlan, retryWaitMs, type StepPlan } from "./plan.js";
export {
  type AttemptName,
  attemptKey,
  createRun,
  type Failure,
  isOver,
  type Outcome,
  type RunEvent,
  type RunState,
  type RunStatus,
  type StepState,
  type StepStatus,
  type StopCause,
  type TaskState,
} from "./state.js";
export { compileTemplate, expectText, type Template, type Values } from "./template.js";
export { checkInput, evaluateOutputs, MAX_VALUE_BYTES, valuesOf } from "./values.js";
export { compileWaitCondition } from "./wait-condition.js";
