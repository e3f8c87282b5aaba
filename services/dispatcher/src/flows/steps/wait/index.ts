export { plugin } from "./wait-step.js";
