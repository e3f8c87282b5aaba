export { fileTarget as plugin } from "./file-target.js";
