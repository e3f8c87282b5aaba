/** Close codes of RFC 6455, 7.4.1, for why the listener ends a connection. */
import type { DisconnectReason } from "../../core/connection.js";

export const CLOSE = {
  normal: 1000,
  goingAway: 1001,
  unsupported: 1003,
  notConsistent: 1007,
  policy: 1008,
  tooLarge: 1009,
  internal: 1011,
  tryAgainLater: 1013,
} as const;

export function closeCodeOf(reason: DisconnectReason): number {
  switch (reason) {
    case "client":
    case "lost":
      return CLOSE.normal;
    case "drain":
      return CLOSE.goingAway;
    case "malformed":
      return CLOSE.notConsistent;
    case "frame_too_large":
      return CLOSE.tooLarge;
    case "internal":
      return CLOSE.internal;
    case "slow_client":
      return CLOSE.tryAgainLater;
    default:
      return CLOSE.policy;
  }
}
