/** What rules have led to a message travels with it as a header, so that a rule which leads to itself is found out. */
import { type BatchView, envelope, Protocol } from "@myelin/contract";

const NAME = "myelin-causes";
/** Names of rules have none. */
const BETWEEN = ">";

/** For the publication of an action. */
export function causeHeaders(causes: readonly string[] | undefined): readonly envelope.Header[] | undefined {
  if (causes === undefined || causes.length === 0) return undefined;
  return [{ name: NAME, value: causes.join(BETWEEN) }];
}

/** Of the envelope that the view is at. What devices say of themselves is not believed: it would keep rules from acting. */
export function causesOf(view: BatchView): readonly string[] {
  if (view.protocol !== Protocol.APP) return [];
  const bytes = view.envelopeBytes();
  // Batches of targets do not say whether there are headers, and applications publish much that has none.
  if (!Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes(NAME)) return [];
  const { headers } = envelope.Envelope.decode(bytes);
  return headers.find(({ name }) => name === NAME)?.value.split(BETWEEN) ?? [];
}
