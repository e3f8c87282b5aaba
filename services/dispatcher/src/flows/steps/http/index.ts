export { plugin } from "./http-step.js";
