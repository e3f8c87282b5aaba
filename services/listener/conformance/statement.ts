/** What a numbered statement of a standard is to us. */

/** One normative statement, in our own words; the number in front of it is the standard's. */
export interface Statement {
  readonly says: string;
  /** Why no test of a server can show it; absent: a case must cover it. */
  readonly notApplicable?: string;
}

/** A statement that a server can be held to. */
export const server = (says: string): Statement => ({ says });

/** A statement about what clients do. What the server does when they do not is another statement. */
export const client = (says: string): Statement => ({ says, notApplicable: "binds the client" });

/** A statement that is void for this server, and why. */
export const moot = (says: string, notApplicable: string): Statement => ({ says, notApplicable });
