export { appTarget as plugin } from "./app-target.js";
