export {
  DEFAULT_MAX_FRAME_BYTES,
  type FrameServer,
  type FrameStream,
  type OnStream,
} from "./frame-stream.js";
export { type ConnectGrpcOptions, connectGrpc } from "./grpc/grpc-client.js";
export { GrpcFrameServer, type GrpcServerOptions } from "./grpc/grpc-server.js";
export { FrameReader, type FrameReaderOptions } from "./uds/frame-reader.js";
export { type ConnectUdsOptions, connectUds } from "./uds/uds-client.js";
export { UdsFrameServer, type UdsServerOptions } from "./uds/uds-server.js";
