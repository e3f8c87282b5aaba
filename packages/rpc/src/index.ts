/** gRPC and framed Unix sockets: the same streams of frames. */
export {
  DEFAULT_MAX_FRAME_BYTES,
  type FrameServer,
  type FrameServerOptions,
  type FrameStream,
} from "./frame-stream.js";
export { connectGrpc, type GrpcConnectOptions } from "./grpc/grpc-client.js";
export { createGrpcServer, type GrpcServerOptions, type GrpcTls } from "./grpc/grpc-server.js";
export { FrameReader, type FrameReaderOptions } from "./uds/frame-reader.js";
export { type ConnectOptions, connectUds } from "./uds/uds-client.js";
export { createUdsServer, type UdsServerOptions } from "./uds/uds-server.js";
