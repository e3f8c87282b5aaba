export { webhookAction as plugin } from "./webhook-action.js";
