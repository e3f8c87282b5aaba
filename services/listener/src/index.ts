/** The listener: holds device connections and turns bytes into envelopes and back. */

export { type ListenerConfig, listenerSchema } from "./config.js";
export { hashPassword } from "./core/password.js";
export { scramVerifier } from "./core/scram.js";
export { listenerService } from "./hosted.js";
export { listenerMetricsList } from "./metrics.js";
export { createListener, type Listener, type ListenerDependencies } from "./service.js";
