export { deviceTarget as plugin } from "./device-target.js";
