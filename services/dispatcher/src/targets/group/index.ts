export { groupTarget as plugin } from "./group-target.js";
