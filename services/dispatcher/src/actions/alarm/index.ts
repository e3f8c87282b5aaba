export { alarmAction as plugin } from "./alarm-action.js";
