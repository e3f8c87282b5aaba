/** The fields of a published envelope that few messages carry, and the id that makes a repeated one known. */
import {
  type BatchView,
  checkExtras,
  type EnvelopeExtras,
  envelope,
  envelopeIdOf,
  type Head,
} from "@myelin/contract";
import { AppError } from "@myelin/kernel";

/** An envelope may have this much beside its payload: decoding makes far larger objects out of it. */
const MAX_EXTRA_BYTES = 128 * 1024;

/** True when the view's current envelope has nothing but head and payload: the fast way. */
export function isPlain(view: BatchView): boolean {
  return view.payloadEnd === view.recordEnd && view.sourceTimeUs === 0 && view.id().length === 0;
}

/**
 * The extras of the view's current envelope. An id that the app gave becomes the one by which the partition's owner
 * removes doubles, see `envelopeIdOf`.
 * @throws AppError `contract.bad_envelope`
 */
export function extrasOf(view: BatchView, head: Head): EnvelopeExtras {
  const bytes = view.envelopeBytes();
  if (bytes.length - (view.payloadEnd - view.payloadStart) > MAX_EXTRA_BYTES) {
    throw new AppError(
      "contract.bad_envelope",
      `an envelope has over ${MAX_EXTRA_BYTES} bytes beside its payload`,
    );
  }
  let e: envelope.Envelope;
  try {
    e = envelope.Envelope.decode(bytes);
  } catch (cause) {
    throw new AppError("contract.bad_envelope", "an envelope cannot be decoded", { cause });
  }
  const id = e.id.length === 0 ? undefined : envelopeIdOf(head.tenant, head.deviceId, e.id);
  const extras: EnvelopeExtras = {
    id,
    senderId: id === undefined ? undefined : true,
    sourceTimeUs: e.sourceTimeUs,
    deviceSequence: e.deviceSequence,
    quality: e.quality,
    qualityReason: e.qualityReason,
    replayed: e.replayed,
    expiresAtUs: e.expiresAtUs,
    traceparent: e.traceparent,
    tracestate: e.tracestate,
    schemaVersion: e.schemaVersion,
    headers: e.headers,
    versionVector: e.versionVector,
    retain: e.retain,
    qos: e.qos,
    responsePath: e.responsePath,
    correlation: e.correlation,
  };
  checkExtras(extras);
  return extras;
}
