/** The one method of myelin.app.v1.AppService, with frames left as bytes, and the channel settings of both sides. */
import type { ChannelOptions, MethodDefinition } from "@grpc/grpc-js";

const identity = (bytes: Buffer): Buffer => bytes;

/** A stock client that uses the `.proto` meets the same path and the same bytes. */
export const CONNECT_METHOD: MethodDefinition<Buffer, Buffer> = {
  path: "/myelin.app.v1.AppService/Connect",
  requestStream: true,
  responseStream: true,
  requestSerialize: identity,
  requestDeserialize: identity,
  responseSerialize: identity,
  responseDeserialize: identity,
};

/** HTTP/2 windows as large as some batches, so that a batch does not wait for a window update in the middle. */
const FLOW_CONTROL_WINDOW_BYTES = 4 * 1024 * 1024;
const KEEPALIVE_MS = 20_000;
const KEEPALIVE_TIMEOUT_MS = 10_000;

/** Channel options; a vanished peer is noticed after at most half a minute even when nothing is sent. */
export function channelOptions(maxFrameBytes: number): ChannelOptions {
  return {
    "grpc.max_receive_message_length": maxFrameBytes,
    "grpc.max_send_message_length": maxFrameBytes,
    "grpc-node.flow_control_window": FLOW_CONTROL_WINDOW_BYTES,
    "grpc.keepalive_time_ms": KEEPALIVE_MS,
    "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
    "grpc.keepalive_permit_without_calls": 1,
  };
}
