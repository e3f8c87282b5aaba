/** gRPC statuses and the errors of the platform. */
import { Metadata, type StatusObject, status } from "@grpc/grpc-js";
import { AppError, type ErrorCode, isErrorCode } from "@myelin/kernel";
import { CODE_TRAILER } from "./method.js";

const CODES: Partial<Record<status, ErrorCode>> = {
  [status.CANCELLED]: "rpc.unavailable",
  [status.UNAVAILABLE]: "rpc.unavailable",
  [status.DEADLINE_EXCEEDED]: "rpc.unavailable",
  [status.INTERNAL]: "rpc.unavailable",
  [status.RESOURCE_EXHAUSTED]: "contract.frame_too_large",
  [status.UNAUTHENTICATED]: "auth.bad_credentials",
  [status.PERMISSION_DENIED]: "auth.not_authorized",
  [status.INVALID_ARGUMENT]: "contract.bad_frame",
};

/** The error that ended a stream; the platform's own code where the other side sent one. */
export function errorOfStatus(ended: Partial<StatusObject>, peer: string): AppError {
  const code = ended.code ?? status.UNKNOWN;
  const details = { grpcStatus: status[code] };
  const own = ended.metadata?.get(CODE_TRAILER)[0];
  if (typeof own === "string" && isErrorCode(own))
    return new AppError(own, ended.details ?? own, { details });
  const message = `the stream with ${peer} ended: ${status[code]} ${ended.details ?? ""}`.trimEnd();
  return new AppError(CODES[code] ?? "rpc.refused", message, { details });
}

/** What a server tells a client about an error. */
export function statusOfError(error: AppError): StatusObject {
  const metadata = new Metadata();
  metadata.set(CODE_TRAILER, error.code);
  return { code: status[error.grpc], details: error.message, metadata };
}
