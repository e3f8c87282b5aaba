/** Whether several processes may listen on one port. */

/**
 * True where the system hands connections to all sockets bound to a port with `SO_REUSEPORT` in turn. Elsewhere (macOS) Node refuses
 * to listen with the option, so a port has one process.
 */
export function sharesPorts(platform: NodeJS.Platform = process.platform): boolean {
  return platform === "linux" || platform === "freebsd";
}

/** Listener workers that serve the same ports: one core is left to the rest; one worker in all where ports cannot be shared. */
export function usefulWorkers(cores: number, most: number, platform?: NodeJS.Platform): number {
  return sharesPorts(platform) ? Math.min(most, Math.max(1, cores - 1)) : 1;
}
