/** The listener: holds device connections and turns bytes into envelopes and back. */
export { hashPassword } from "./admission/static-file/password.js";
export { type ListenerConfig, listenerSchema } from "./config.js";
export { listenerService } from "./hosted.js";
export { createListener, type Listener, type ListenerDependencies } from "./service.js";
