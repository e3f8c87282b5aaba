/** MQTT topic names and filters (MQTT 5, 4.7): what they may look like and when they match. Paths of envelopes are topic names. */

/** True for a filter a client may subscribe to: not empty, no NUL, `+` alone in its level, `#` alone in the last one. */
export function isTopicFilter(filter: string): boolean {
  if (filter === "" || filter.includes("\0")) return false;
  const levels = filter.split("/");
  return levels.every((level, i) =>
    level.includes("#") ? level === "#" && i === levels.length - 1 : !level.includes("+") || level === "+",
  );
}

/** True for a name a message may carry: not empty, no NUL, no wildcard. */
export function isTopicName(topic: string): boolean {
  return topic !== "" && !/[\0+#]/.test(topic);
}

/**
 * Whether `topic` matches `filter`. Topics that begin with `$` match no filter that begins with a wildcard (4.7.2).
 * For one-off checks; many filters at once are what `FilterIndex` is for.
 */
export function topicMatches(filter: string, topic: string): boolean {
  if (topic.startsWith("$") && (filter.startsWith("+") || filter.startsWith("#"))) return false;
  const wanted = filter.split("/");
  const given = topic.split("/");
  for (let i = 0; i < wanted.length; i++) {
    if (wanted[i] === "#") return true;
    if (i >= given.length) return false;
    if (wanted[i] !== "+" && wanted[i] !== given[i]) return false;
  }
  return wanted.length === given.length;
}

/** A glob over names: `*` any run, `?` one character, everything else itself. */
export function globToRegExp(glob: string): RegExp {
  const escaped = glob
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replace(/\*/g, ".*")
    .replace(/\?/g, ".");
  return new RegExp(`^${escaped}$`, "su");
}
