/** The ipc-bridge: connects application services in any language. */
export { type BridgeConfig, bridgeSchema } from "./config.js";
export type { AppAdmission, Peer } from "./core/admission.js";
export type { ChannelNumbers } from "./core/app-channels.js";
export { ipcBridgeService } from "./hosted.js";
export { bridgeMetricsList } from "./metrics.js";
export { type Bridge, type BridgeDependencies, createBridge } from "./service.js";
