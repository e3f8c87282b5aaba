/** Where a connection is in its life. */

/**
 * `fresh`: no CONNECT yet; `authenticating`: an exchange goes on, AUTH is due; `admitting`: waiting for admission or for the session's home; `closed`: nothing is read or written any more.
 */
export const STATE = { fresh: 0, admitting: 1, ready: 2, closed: 3, authenticating: 4 } as const;
/** One of STATE. */
export type State = (typeof STATE)[keyof typeof STATE];
