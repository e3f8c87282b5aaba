/** What addresses say about where a client is. */
import { isIPv4 } from "node:net";

/** True for addresses that only this machine itself can come from, as Node prints them. */
export function isLoopback(address: string): boolean {
  const plain = address.startsWith("::ffff:") ? address.slice(7) : address;
  return plain === "::1" || (isIPv4(plain) && plain.startsWith("127."));
}
