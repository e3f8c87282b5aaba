export { commandAction as plugin } from "./command-action.js";
