/** Which partition a device belongs to: the same on every producer, in every language. */

/**
 * FNV-1a (32 bit) over the UTF-8 bytes of tenant, a zero byte and device id, folded by xor of its halves, modulo `partitions`.
 * The shared vectors in `proto/vectors/partition.json` pin it.
 */
export function partitionOf(tenant: string, deviceId: string, partitions: number): number {
  let hash = 0x811c9dc5;
  const bytes = Buffer.from(`${tenant}\0${deviceId}`, "utf8");
  for (let i = 0; i < bytes.length; i++) {
    hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  }
  hash ^= hash >>> 16;
  return (hash >>> 0) % partitions;
}
