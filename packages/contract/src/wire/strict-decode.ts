/** Generated decoders, made to refuse what they would quietly leave unread. */
import { BinaryReader } from "@bufbuild/protobuf/wire";

/** What ts-proto generates for each message, as far as decoding goes. */
export interface Decodes<T> {
  decode(input: BinaryReader | Uint8Array, length?: number): T;
}

/**
 * Decodes `bytes` and insists that all of them were used: generated code stops silently at a zero tag.
 * @throws Error of the Protobuf runtime; callers wrap it with the code that fits their bytes.
 */
export function strictDecode<T>(codec: Decodes<T>, bytes: Uint8Array): T {
  const reader = new BinaryReader(bytes);
  const message = codec.decode(reader);
  if (reader.pos !== reader.len) throw new RangeError(`message ends at byte ${reader.pos} of ${reader.len}`);
  return message;
}
