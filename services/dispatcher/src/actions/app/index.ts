export { appAction as plugin } from "./app-action.js";
