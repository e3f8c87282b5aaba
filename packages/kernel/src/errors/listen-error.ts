import { AppError } from "./app-error.js";

/**
 * What Node reports when a port or socket cannot be opened, as one clear sentence.
 * `where` is what the operator configured, for example `127.0.0.1:8080` or a socket's path.
 */
export function listenError(cause: unknown, what: string, where: string): AppError {
  const code = (cause as { code?: unknown } | undefined)?.code;
  if (code === "EADDRINUSE") {
    return new AppError("setup.port_in_use", `${what} cannot listen on ${where}: it is in use already`, {
      cause,
    });
  }
  if (code === "EACCES" || code === "EPERM" || code === "EROFS") {
    return new AppError("setup.port_forbidden", `${what} may not listen on ${where}`, { cause });
  }
  return AppError.wrap("lifecycle.start_failed", `${what} cannot listen on ${where}`, cause);
}
