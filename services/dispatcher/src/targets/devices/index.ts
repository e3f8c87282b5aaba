export { devicesTarget as plugin } from "./devices-target.js";
