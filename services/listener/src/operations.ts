/** For tools that ask listeners about clients: nothing of the listener itself is loaded with it. */
export {
  type ClientRecord,
  DEFAULT_LIMIT,
  type Effect,
  MAX_LIMIT,
  OperationsClient,
  type Page,
} from "./core/operations-client.js";
export {
  clientJson,
  effectJson,
  packetJson,
  pageJson,
  recordJson,
  sessionJson,
  subscriptionJson,
} from "./core/operations-json.js";
export type { TraceWish } from "./core/operations-tracing.js";
