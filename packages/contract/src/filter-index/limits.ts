/** Bounds that both ends of a wire must know. */

/** Filters, each counted once, that one listener holds for its connections: it refuses more, and nobody takes more from it. */
export const MAX_LISTENER_FILTERS = 2_000_000;
