import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LINK } from "../../test/batch-support.js";
import { batch } from "../../test/envelope-arbitraries.js";
import { Batch } from "../generated/myelin/envelope/v1/envelope.js";
import { BATCH_FLAGS, BatchForwarder, BatchView, checkEnvelopeCount } from "./index.js";

const encode = (b: Batch) => Buffer.from(Batch.encode(b).finish());
const LINK_OUT = { ...LINK, sender: "core", target: "app", targetInstance: "app-1" };

describe("BatchForwarder", () => {
  it("passes on exactly the chosen envelopes, with their origin, under its own numbers", () => {
    fc.assert(
      fc.property(fc.array(batch, { maxLength: 4 }), fc.infiniteStream(fc.boolean()), (batches, choose) => {
        const forwarder = new BatchForwarder(LINK_OUT);
        forwarder.epoch = 12;
        let sequence = 1;
        let ordinal = 0;
        for (const b of batches) {
          const view = new BatchView().reset(encode(b));
          const chosen = b.envelopes.filter(() => {
            view.next();
            const take = choose.next().value;
            if (take) forwarder.add(view.recordStart, view.recordEnd, 1);
            return take;
          });
          const out = forwarder.finish(view, BATCH_FLAGS.redelivered);
          if (chosen.length === 0) {
            expect(out).toBeUndefined();
            continue;
          }
          const decoded = Batch.decode(out as Buffer);
          expect(decoded.origin).toEqual(b.origin);
          expect(decoded.envelopes).toEqual(chosen);
          expect(decoded.hop).toEqual({
            sender: "core",
            incarnation: LINK.incarnation,
            partition: LINK.partition,
            lane: LINK.lane,
            target: "app",
            targetInstance: "app-1",
            epoch: 12,
            sequence: sequence++,
            firstOrdinal: ordinal,
            count: chosen.length,
            flags: (b.hop?.flags ?? 0) | BATCH_FLAGS.redelivered,
          });
          ordinal += chosen.length;
          checkEnvelopeCount(new BatchView().reset(out as Buffer));
        }
      }),
      { numRuns: 300 },
    );
  });

  it("takes a run of several envelopes at once and forgets it when told to", () => {
    const source = Batch.fromPartial({ hop: { count: 2 }, envelopes: [{ path: "a" }, { path: "b" }] });
    const view = new BatchView().reset(encode(source));
    const forwarder = new BatchForwarder(LINK_OUT);
    forwarder.add(view.envelopesStart, view.bytes.length, 2);
    expect(Batch.decode(forwarder.finish(view) as Buffer).envelopes).toEqual(source.envelopes);
    forwarder.add(view.envelopesStart, view.bytes.length, 2);
    forwarder.discard();
    expect(forwarder.finish(view)).toBeUndefined();
    expect(forwarder).toMatchObject({ sequence: 2, ordinal: 2 });
  });
});
