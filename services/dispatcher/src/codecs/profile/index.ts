export { profilePlugin as plugin } from "./profile-plugin.js";
