export { sessionsTarget as plugin } from "./sessions-target.js";
