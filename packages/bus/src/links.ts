/** Sizes and times of the links between producers and owners; both ends rely on them. */

/** Telemetry on the way per partition, not acknowledged by its owner. */
export const TELEMETRY_WINDOW_BYTES = 8 * 1024 * 1024;
/** Events of one partition that wait for the stream or are on their way to it. */
export const EVENT_WINDOW_BYTES = 4 * 1024 * 1024;
/** A batch of events grows to this while the one before it is being stored. */
export const EVENT_BATCH_BYTES = 1024 * 1024;
/** Without an acknowledgement for this long a telemetry sender takes the owner for gone. */
export const OWNER_SILENCE_MS = 2_000;
/** An owner acknowledges after this many bytes of one producer, */
export const ACK_BYTES = 256 * 1024;
/** and after this time while anything came. */
export const ACK_INTERVAL_MS = 100;

/** Room for headers and subject within the server's limit of a message. */
export const MESSAGE_OVERHEAD_BYTES = 1024;
/** A payload of this size gets a batch of its own, so that its refusal takes no neighbour along. */
export const LARGE_PAYLOAD_BYTES = 128 * 1024;
