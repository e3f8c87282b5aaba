export { publishAction as plugin } from "./publish-action.js";
