/** How the members of a shared subscription are told apart from other receivers on the links between services. */

const PREFIX = "group:";

/** Name of the link over which a listener gets what is for its members of a group; `key` as in `GroupInterest`. */
export function groupLinkName(key: string): string {
  return PREFIX + key;
}

/** The key of the group that a link is for; undefined for the links of other receivers. */
export function tryParseGroupLinkName(target: string): string | undefined {
  return target.startsWith(PREFIX) ? target.slice(PREFIX.length) : undefined;
}
