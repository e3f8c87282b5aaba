export { plugin } from "./flow-step.js";
