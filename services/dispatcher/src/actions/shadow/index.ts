export { shadowAction as plugin } from "./shadow-action.js";
