/** The bus: NATS behind interfaces that the services use. */
export type * from "./api.js";
export { createLinkAcker, type LinkAckerOptions } from "./link-acker.js";
export { createLinkReader } from "./link-reader.js";
export * from "./links.js";
export { createEventSender } from "./nats/event-transport.js";
export { type BusCredentials, type BusOptions, createBus } from "./nats/nats-bus.js";
export { createSubjectLog, type LogEntry, type SubjectLog } from "./nats/subject-log.js";
export { createTelemetrySender, type SenderOptions } from "./telemetry-sender.js";
