export { RuleTable } from "./rule-table.js";
export { Rules } from "./rules.js";
