/** Generated decoders, made to refuse what they would quietly pass over. */
import { FieldWalk } from "./fields.js";

/** What ts-proto generates for each message, as far as decoding goes. */
export interface Decodes<T> {
  decode(input: Uint8Array): T;
}

const walk = new FieldWalk();

/**
 * Decodes `bytes` after a look at their structure: generated code stops silently at a zero tag or a group's end.
 * @throws RangeError, or an Error of the Protobuf runtime; callers wrap them with the code that fits their bytes.
 */
export function strictDecode<T>(codec: Decodes<T>, bytes: Uint8Array): T {
  walk.begin(bytes, 0, bytes.length);
  while (walk.next());
  if (walk.problem !== undefined) throw new RangeError(`${walk.problem} at byte ${walk.end}`);
  return codec.decode(bytes);
}
