/** Where a connection is in its life. */

/** `fresh`: no CONNECT yet; `admitting`: waiting for admission; `closed`: nothing is read or written any more. */
export const STATE = { fresh: 0, admitting: 1, ready: 2, closed: 3 } as const;
/** One of STATE. */
export type State = (typeof STATE)[keyof typeof STATE];
