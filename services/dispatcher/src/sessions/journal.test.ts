import { session as wire } from "@myelin/contract";
import { FakeClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MemoryLog } from "../../test/support/memory-log.js";
import { Journal, JournalReplay } from "./journal.js";
import {
  endedRecord,
  filtersRecord,
  heldRecord,
  incomingRecord,
  madeRecord,
  messageRecord,
  outgoingRecord,
  setIncoming,
  snapshotOf,
} from "./records.js";
import { SessionStore } from "./session-store.js";

const SEED = 7;
const log = silentLogger;
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Everything of a store that a client could ever notice. */
function pictureOf(store: SessionStore): unknown {
  return [...store.all()]
    .map((session) => {
      const filters: [string, number][] = [];
      store.forEachFilter(session, (filter, tag) => filters.push([filter, tag]));
      return {
        client: `${session.tenant}|${session.client}|${session.number}`,
        filters: filters.sort(),
        offline: [session.offlineAtMs, session.expirySeconds],
        incoming: [...(session.incoming ?? [])].sort(([a], [b]) => a - b),
        queue: [...(session.entries?.values() ?? [])].map(({ message, qos, tags, packetId, released }) => [
          message.number,
          message.record.toString("hex"),
          message.id,
          qos,
          tags,
          packetId,
          released,
        ]),
      };
    })
    .sort((a, b) => (a.client < b.client ? -1 : 1));
}

function replayOf(entries: readonly { data: Buffer }[]): JournalReplay {
  const replay = new JournalReplay(new MemoryLog(), log, SEED);
  for (const { data } of entries) replay.apply(data);
  return replay;
}

/** An envelope record with an id. */
function recordOf(n: number): Buffer {
  const id = Buffer.alloc(16, n & 0xff);
  id.writeUInt32BE(n, 0);
  const envelope = Buffer.concat([Buffer.from([0x82, 0x01, 16]), id]);
  return Buffer.concat([Buffer.from([0x1a, envelope.length]), envelope]);
}

type Step = { what: number; who: number; n: number };
const steps = fc.array(
  fc.record({ what: fc.nat({ max: 11 }), who: fc.nat({ max: 3 }), n: fc.nat({ max: 3 }) }),
  { maxLength: 60 },
);

/** Does to a store what a home would do, and writes it down. */
class Writer {
  readonly store = new SessionStore(SEED);
  readonly clock = new FakeClock();
  readonly log = new MemoryLog();
  readonly journal: Journal;

  constructor() {
    this.journal = new Journal(
      {
        port: this.log,
        epoch: 5,
        clock: this.clock,
        log,
        lazyMs: 50,
        collect: () => undefined,
        onFenced: () => undefined,
      },
      { sequence: 0, number: 0, bytes: 0 },
    );
  }

  step({ what, who, n }: Step): void {
    const { store, journal } = this;
    const session = store.ofClient("t", `c${who}`);
    if (session === undefined) {
      const made = store.make(store.nextSession, "t", `c${who}`);
      store.setOffline(made, 0, 100);
      journal.add(madeRecord(made));
      journal.add(heldRecord(made));
      return;
    }
    const entry = [...(session.entries?.values() ?? [])][n];
    if (what === 0) {
      journal.add(endedRecord(session));
      store.end(session);
    } else if (what <= 2) {
      const added = [{ filter: ["a/#", "$share/g/a", "b/+", "c"][n]!, tag: what }];
      for (const { filter, tag } of added) store.addFilter(session, filter, tag === 2 ? 0 : tag);
      journal.add(
        filtersRecord(
          session,
          added.map(({ filter, tag }) => ({ filter, tag: tag === 2 ? 0 : tag })),
          [],
        ),
      );
    } else if (what === 3) {
      store.removeFilter(session, "a/#");
      journal.add(filtersRecord(session, [], ["a/#"]));
    } else if (what <= 6) {
      const number = store.nextMessage;
      const record = recordOf(number);
      const recipients = [...store.all()]
        .filter((_, i) => i <= n)
        .map((one) => ({ session: one, qos: (what === 4 ? 2 : 1) as 1 | 2, tags: [n, 1 + what] }));
      const id = record.subarray(-16).toString("latin1");
      journal.add(
        messageRecord(store.addMessage({ number, record, id, expiresAtUs: 0, group: "" }, recipients)),
      );
    } else if (what === 7 && entry !== undefined) {
      store.markSent(entry, 1 + n, n === 2);
      journal.add(outgoingRecord([entry]));
    } else if (what === 8 && entry !== undefined) {
      const value = { sessions: [session.number], messages: [entry.message.number] };
      journal.add({ record: { $case: "done", value } });
      store.finish(entry);
    } else if (what === 9) {
      const { BEGUN, STORED, FORGOTTEN } = wire.IncomingState;
      const id = String(who + 4 * store.nextMessage).padStart(16, "0");
      const step = { session, packetId: 1 + (store.nextMessage % 2), id };
      const all = [
        { ...step, state: BEGUN },
        ...(n > 0 ? [{ ...step, state: n > 1 ? STORED : FORGOTTEN }] : []),
      ];
      for (const one of all) setIncoming(one);
      journal.add(incomingRecord(all));
    } else if (what === 10) {
      store.setOffline(session, n * 10, n);
      journal.add(heldRecord(session));
    } else if (what === 11 && n === 0) journal.compact(store, () => undefined);
  }

  async written(): Promise<void> {
    for (let i = 0; i < 50 && !this.journal.idle; i++) {
      this.clock.advance(100);
      await turn();
    }
  }
}

describe("the journal of sessions", () => {
  it("gives the state back that was there at every batch, over snapshots, doubled appends and lost answers", async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.nat(), async (all, dice) => {
        const writer = new Writer();
        const pictures: unknown[] = [pictureOf(writer.store)];
        const batches: { data: Buffer }[] = [];
        for (const [i, step] of all.entries()) {
          // A snapshot is made of what is there then; what is added later goes into a batch behind it.
          if (step.what === 11 && step.n === 0) pictures.push(pictureOf(writer.store));
          writer.step(step);
          if ((i + dice) % 7 === 0) writer.log.losesAnswer = true;
          if ((i + dice) % 3 !== 0) continue;
          const before = writer.log.entries.at(-1)?.sequence ?? 0;
          await writer.written();
          for (const entry of writer.log.entries) {
            if (entry.sequence <= before) continue;
            batches.push(entry);
            if ((entry.sequence + dice) % 4 === 0) batches.push(entry);
          }
          pictures.push(pictureOf(writer.store));
          expect(pictureOf(replayOf(batches).store)).toEqual(pictures.at(-1));
          // What is left after snapshots have removed what lay before them says the same.
          expect(pictureOf(replayOf(writer.log.entries).store)).toEqual(pictures.at(-1));
        }
        const known = pictures.map((picture) => JSON.stringify(picture));
        for (let cut = 0; cut <= batches.length; cut++) {
          const picture = JSON.stringify(pictureOf(replayOf(batches.slice(0, cut)).store));
          expect(known).toContain(picture);
        }
      }),
      { numRuns: 60 },
    );
  });

  it("passes over a snapshot that was not finished", () => {
    const writer = new Writer();
    writer.step({ what: 0, who: 1, n: 0 });
    const records = [...snapshotOf(writer.store)];
    const batch = (number: number, part: wire.SnapshotPart, some: wire.JournalRecord[]) => ({
      data: Buffer.from(
        wire.JournalBatch.encode({ epoch: 1, number, snapshot: part, records: some }).finish(),
      ),
    });
    const { SnapshotPart } = wire;
    const plain = batch(1, SnapshotPart.UNSPECIFIED, records);
    const begun = batch(2, SnapshotPart.FIRST, []);
    const next = batch(3, SnapshotPart.UNSPECIFIED, []);
    expect(pictureOf(replayOf([plain, begun]).store)).toEqual(pictureOf(writer.store));
    expect(pictureOf(replayOf([plain, begun, next]).store)).toEqual(pictureOf(writer.store));
    expect(pictureOf(replayOf([plain, begun, batch(3, SnapshotPart.LAST, [])]).store)).toEqual([]);
  });

  it("writes what was gathered before somebody began to wait with the batch that is waited for, also when it is full", async () => {
    const memory = new MemoryLog();
    let gathered: wire.JournalRecord[] = [];
    const journal: Journal = new Journal(
      {
        port: memory,
        epoch: 1,
        clock: new FakeClock(),
        log,
        lazyMs: 50,
        collect: () => {
          for (const record of gathered.splice(0)) journal.add(record);
        },
        onFenced: () => undefined,
      },
      { sequence: 0, number: 0, bytes: 0 },
    );
    gathered = [endedRecord({ number: 7 } as never)];
    let held: unknown[] = [];
    journal.whenStored(() => {
      held = memory.entries.flatMap(({ data }) => wire.JournalBatch.decode(data).records);
    });
    journal.add(endedRecord({ number: 8 } as never), 1024 * 1024);
    for (let i = 0; i < 5; i++) await turn();
    expect(held).toContainEqual(endedRecord({ number: 7 } as never));
  });

  it("stops writing when another home has written", async () => {
    const writer = new Writer();
    let fenced = 0;
    const journal = new Journal(
      {
        port: writer.log,
        epoch: 4,
        clock: writer.clock,
        log,
        lazyMs: 50,
        collect: () => undefined,
        onFenced: () => fenced++,
      },
      { sequence: 0, number: 0, bytes: 0 },
    );
    await writer.journal.begin();
    let stored = 0;
    journal.add(endedRecord({ number: 1 } as never));
    journal.whenStored(() => stored++);
    await turn();
    await turn();
    expect([fenced, stored, writer.log.entries.length]).toEqual([1, 0, 1]);
  });
});
