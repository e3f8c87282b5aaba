export { plugin } from "./app-step.js";
