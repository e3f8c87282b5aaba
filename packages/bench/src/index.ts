export type { ControlReport } from "./process/controlled.js";
export type { Scenario, ScenarioContext } from "./scenarios/scenario.js";
export type {
  ConsumeOptions,
  Consumer,
  Lack,
  Lane,
  Protocol,
  Running,
  StartOptions,
  System,
} from "./systems/system.js";
