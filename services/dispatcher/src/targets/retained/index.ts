export { retainedTarget as plugin } from "./retained-target.js";
