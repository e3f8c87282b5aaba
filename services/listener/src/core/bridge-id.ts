/** What bridges to other brokers are called among the devices. */

/** Device ids of bridges begin so, here and, unless they are told to be called otherwise, at other brokers. */
export const BRIDGE_PREFIX = "bridge/";

/** A bridge of this deployment; those of others, that are connected here, have the name of their deployment before their own. */
export function isOwnBridge(deviceId: string): boolean {
  return deviceId.startsWith(BRIDGE_PREFIX) && !deviceId.includes("/", BRIDGE_PREFIX.length);
}
