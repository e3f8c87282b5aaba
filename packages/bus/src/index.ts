/** What services use of NATS. */
export type * from "./api.js";
