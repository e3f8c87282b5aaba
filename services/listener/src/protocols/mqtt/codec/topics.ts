/** Topic names and topic filters: what section 4.7 allows. */
import { isUtf8 } from "node:buffer";

const NUL = 0x00;
const HASH = 0x23;
const PLUS = 0x2b;

/** A topic name: 1 to 65,535 bytes of UTF-8, no NUL, no wildcard. */
export function isTopicName(bytes: Buffer, start: number, end: number): boolean {
  if (end <= start || end - start > 65_535) return false;
  let ascii = 0;
  for (let i = start; i < end; i++) {
    const c = bytes[i]!;
    if (c === NUL || c === HASH || c === PLUS) return false;
    ascii |= c;
  }
  return ascii < 0x80 || isUtf8(bytes.subarray(start, end));
}

const SHARE = "$share/";

/** A shared filter split into group and filter; a plain one has the empty group. */
export interface TopicFilter {
  readonly group: string;
  readonly filter: string;
}

/** Undefined when the text is not a topic filter. The text is known to be UTF-8 without NUL. */
export function parseFilter(text: string): TopicFilter | undefined {
  if (!text.startsWith(SHARE)) return isFilter(text) ? { group: "", filter: text } : undefined;
  const slash = text.indexOf("/", SHARE.length);
  if (slash <= SHARE.length) return undefined;
  const group = text.slice(SHARE.length, slash);
  const filter = text.slice(slash + 1);
  if (group.includes("+") || group.includes("#") || !isFilter(filter)) return undefined;
  return { group, filter };
}

function isFilter(text: string): boolean {
  if (text === "") return false;
  const levels = text.split("/");
  for (let i = 0; i < levels.length; i++) {
    const level = levels[i]!;
    if (level === "+") continue;
    if (level === "#") {
      if (i !== levels.length - 1) return false;
    } else if (level.includes("+") || level.includes("#")) return false;
  }
  return true;
}
