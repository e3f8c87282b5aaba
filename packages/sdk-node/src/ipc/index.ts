export type { BatchHandler } from "./batch-consumer.js";
export { IncomingRequest, Reply, type RequestHandler } from "./calls.js";
export { type ClientHealth, IpcClient, type RequestOptions, type SendOptions } from "./ipc-client.js";
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
