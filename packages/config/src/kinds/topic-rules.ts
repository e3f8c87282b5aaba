/** What topics and filters in resources must look like (MQTT 5, 4.7). */

/** Why a text is not an MQTT topic filter; undefined when it is one. */
export function topicFilterRule(filter: string): string | undefined {
  if (filter.includes("\0")) return "a topic filter without a NUL character";
  const levels = filter.split("/");
  const wrong = levels.some((level, i) =>
    level.includes("#") ? level !== "#" || i !== levels.length - 1 : level.includes("+") && level !== "+",
  );
  return wrong ? "a topic filter: + stands alone in its level, # alone in the last one" : undefined;
}

/** Why a text can be no part of a topic name. */
export function topicNameRule(text: string): string | undefined {
  return /[+#\0]/.test(text) ? "a path without wildcards and NUL" : undefined;
}

/** Is there a topic that both filters match? */
export function filtersOverlap(a: string, b: string): boolean {
  const [one, other] = [a.split("/"), b.split("/")];
  // Wildcards in the first level match no topic that begins with $ (4.7.2).
  if ((a.startsWith("$") && /^[+#]/.test(b)) || (b.startsWith("$") && /^[+#]/.test(a))) return false;
  for (let i = 0; ; i++) {
    const [x, y] = [one[i], other[i]];
    if (x === "#" || y === "#") return true;
    if (x === undefined || y === undefined) return x === y;
    if (x !== "+" && y !== "+" && x !== y) return false;
  }
}
