export type { SavedDevice, Value } from "./device.js";
export { RuleEngine, type RuleEngineOptions } from "./engine.js";
export type { EngineCounters, Firing, Occasion, PointValue, Speaker } from "./firing.js";
export { type ProfileNames, unknownName } from "./names.js";
export { isBuiltIn, Rule } from "./rule.js";
export { crest, peak, rms } from "./spectrum.js";
