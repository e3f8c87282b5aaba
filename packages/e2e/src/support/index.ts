/** What the stories share. */
export { App, type AppOptions, type Received, startApp } from "./app.js";
export {
  Box,
  type BoxOptions,
  boxArguments,
  type CommandResult,
  type Doors,
  type Ledger,
  type LedgerRow,
  MAIN,
  myelin,
  natsServerProgram,
} from "./box.js";
export { type FloodAnswer, flood, floodNumbers } from "./flood.js";
export {
  compare,
  type Delivery,
  httpPublisher,
  mcpPublisher,
  mqttPublisher,
  Publisher,
} from "./publishers.js";
export { type MqttDoor, Sender, Subscriber } from "./sessions.js";
export { startBox } from "./start-box.js";
