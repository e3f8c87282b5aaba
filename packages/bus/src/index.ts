/** The bus: NATS behind interfaces that the services use. */
export type * from "./api.js";
export { type BusCredentials, type BusOptions, createBus } from "./nats/nats-bus.js";
