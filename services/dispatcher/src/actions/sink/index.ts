export { sinkAction as plugin } from "./sink-action.js";
