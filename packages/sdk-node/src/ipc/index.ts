export type { PayloadInput } from "../payload.js";
export type { BatchHandler } from "./batch-consumer.js";
export type { ClientHealth, RequestOptions, SendOptions } from "./call-options.js";
export { IncomingRequest, Reply, type RequestHandler } from "./calls.js";
export {
  type AppDeviceCommand,
  type CommandOptions,
  type CommandState,
  type DeviceCommandStep,
  DeviceCommands,
} from "./device-commands.js";
export { IpcClient } from "./ipc-client.js";
export { Message } from "./message.js";
export { BatchCursor, MessageBatch } from "./message-batch.js";
export type { MessageHandler } from "./message-consumer.js";
export type {
  ClientState,
  HandlerErrorPolicy,
  IpcClientOptions,
  ReconnectOptions,
  SubscriptionOption,
} from "./options.js";
export type { OutgoingMessage } from "./outbox.js";
export type { KindWord, LaneWord, ProtocolWord, QualityWord } from "./words.js";
