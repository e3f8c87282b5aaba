import { audit } from "@myelin/contract";
import fc from "fast-check";
import { expect, test } from "vitest";
import { auditHash, verifyAuditChain } from "./audit-chain.js";

/** Batches as owners write them, one behind the other. */
function chainOf(count: number): Buffer[] {
  const batches: Buffer[] = [];
  for (let number = 1; number <= count; number++) {
    const before = batches.at(-1);
    const entry = audit.Entry.fromPartial({
      atUs: number * 1_000,
      action: "command.accepted",
      author: `user ${number}`,
    });
    const previous = before === undefined ? Buffer.alloc(0) : auditHash(before);
    batches.push(
      Buffer.from(audit.Batch.encode({ epoch: 7, number, previous, entries: [entry, entry] }).finish()),
    );
  }
  return batches;
}

function verify(batches: readonly Buffer[], page = 3) {
  const all = batches.map((data, i) => ({ sequence: 10 * (i + 1), data }));
  return verifyAuditChain(4, all.at(-1)?.sequence ?? 0, async (from) =>
    all.filter(({ sequence }) => sequence >= from).slice(0, page),
  );
}

test("a log that nobody has touched holds, also where its oldest batches have left the stream", async () => {
  expect(await verify([])).toEqual({ partition: 4, batches: 0, entries: 0, firstNumber: 0 });
  expect(await verify(chainOf(8))).toEqual({ partition: 4, batches: 8, entries: 16, firstNumber: 1 });
  expect(await verify(chainOf(8).slice(5))).toEqual({ partition: 4, batches: 3, entries: 6, firstNumber: 6 });
});

test("a batch that was changed, taken out or replaced is found by the one behind it", async () => {
  const chain = chainOf(6);
  const changed = audit.Batch.decode(chain[2]!);
  changed.entries[0]!.author = "nobody";
  const forged = Buffer.from(audit.Batch.encode(changed).finish());
  expect(await verify(chain.with(2, forged))).toMatchObject({
    batches: 3,
    broken: {
      fault: "changed",
      sequence: 40,
      message: "batch 3 is not the one that batch 4 names",
      afterUs: 3_000,
    },
  });
  expect(await verify(chain.toSpliced(2, 1))).toMatchObject({
    batches: 2,
    broken: { fault: "missing", sequence: 30, message: "batch 4 comes behind batch 2" },
  });
  expect(await verify(chain.with(3, Buffer.from([0xff])))).toMatchObject({
    batches: 3,
    broken: { fault: "unreadable", sequence: 40 },
  });
});

test("no byte of a batch that has one behind it can be changed unseen", async () => {
  const chain = chainOf(4);
  await fc.assert(
    fc.asyncProperty(fc.nat(2), fc.nat(), fc.integer({ min: 1, max: 255 }), async (at, where, by) => {
      const bytes = Buffer.from(chain[at]!);
      const place = where % bytes.length;
      bytes[place] = bytes[place]! ^ by;
      expect((await verify(chain.with(at, bytes))).broken).toBeDefined();
    }),
  );
});
