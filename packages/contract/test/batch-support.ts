/** What the batch tests share: a link, a stamp, and an envelope read through a view. */
import { type BatchView, type LinkIdentity, Stamp } from "../src/batch/index.js";
import type { Envelope } from "../src/generated/myelin/envelope/v1/envelope.js";

export const NOW_US = 1_767_225_600_123_456;

export const LINK: LinkIdentity = {
  sender: "listener-0",
  incarnation: 0x1234_5678_9abc,
  partition: 3,
  lane: 1,
  target: "",
  targetInstance: "",
};

export function newStamp(): Stamp {
  const stamp = new Stamp(Buffer.from("a1a2a3a4a5a6fffffffe", "hex"));
  stamp.tick(NOW_US);
  return stamp;
}

/** Every field of the current envelope through the view's own accessors; lists, which it has none for, are left empty. */
export function readByView(view: BatchView): Envelope {
  return {
    channel: view.channel,
    ...view.head(),
    id: Buffer.from(view.id()),
    sourceTimeUs: view.sourceTimeUs,
    ingestTimeUs: view.ingestTimeUs,
    payload: Buffer.from(view.payload()),
    deviceSequence: view.deviceSequence,
    quality: view.quality,
    qualityReason: view.qualityReason,
    replayed: view.replayed,
    expiresAtUs: view.expiresAtUs,
    traceparent: view.traceparent,
    tracestate: view.tracestate,
    schemaVersion: view.schemaVersion,
    headers: [],
    versionVector: [],
    senderId: view.senderId,
    retain: view.retain,
    qos: view.qos,
    responsePath: view.responsePath,
    correlation: Buffer.from(view.correlation()),
    payloadIsText: view.payloadIsText,
  };
}

/** The same, of an envelope that generated code has decoded. */
export const withoutLists = (envelope: Envelope): Envelope => ({
  ...envelope,
  headers: [],
  versionVector: [],
});

/** The fields of an encoded envelope as separate byte strings, in their order. */
export function splitFields(encoded: Buffer): Buffer[] {
  const out: Buffer[] = [];
  let at = 0;
  while (at < encoded.length) {
    const start = at;
    const varint = (): number => {
      let value = 0;
      let scale = 1;
      let byte: number;
      do {
        byte = encoded[at++] as number;
        value += (byte & 0x7f) * scale;
        scale *= 128;
      } while (byte > 0x7f);
      return value;
    };
    const wireType = varint() & 7;
    if (wireType === 0) varint();
    else if (wireType === 1) at += 8;
    else if (wireType === 5) at += 4;
    else {
      const length = varint();
      at += length;
    }
    out.push(encoded.subarray(start, at));
  }
  return out;
}
