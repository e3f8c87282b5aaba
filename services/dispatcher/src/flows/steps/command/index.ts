export { plugin } from "./command-step.js";
