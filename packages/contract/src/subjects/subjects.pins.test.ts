import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BUCKETS, overflowOwner, STREAMS, subjects } from "../index.js";

/** What each argument is: a partition number, or a name that users choose. */
type Argument = "partition" | "name";

/** Every subject there is, with example arguments. A change here is a change of the wire between versions. */
const PINS: Record<keyof typeof subjects, [pinned: string, ...args: [Argument, string | number][]]> = {
  telemetryBatch: ["mln.tel.batch.3", ["partition", 3]],
  eventBatch: ["mln.evt.batch.3", ["partition", 3]],
  allEventBatches: ["mln.evt.batch.*"],
  unroutedBatch: ["mln.evt.unrouted.3", ["partition", 3]],
  allUnroutedBatches: ["mln.evt.unrouted.*"],
  overflowBatch: [
    "mln.evt.overflow.app.clim=2Eate.3",
    ["name", "app"],
    ["name", "clim.ate"],
    ["partition", 3],
  ],
  overflowOfPartition: ["mln.evt.overflow.*.*.3", ["partition", 3]],
  allOverflowBatches: ["mln.evt.overflow.>"],
  dedupeIds: ["mln.evt.dedupe.3", ["partition", 3]],
  allDedupeIds: ["mln.evt.dedupe.*"],
  bridgeDeliver: ["mln.brg.deliver.core", ["name", "core"]],
  listenerDeliver: ["mln.lsn.deliver.listener-0", ["name", "listener-0"]],
  sharedHandback: [
    "mln.lsn.share.5927223fa6989efd59bc6b6af5a38acad8d9cf1a452f31e381b3b395676c6452",
    ["name", "$share/g/a"],
  ],
  linkAck: ["mln.link.ack.listener-0", ["name", "listener-0"]],
  presence: ["mln.pres.batch.3", ["partition", 3]],
  presenceJournal: ["mln.pres.journal.3", ["partition", 3]],
  allPresenceJournals: ["mln.pres.journal.*"],
  presenceSync: ["mln.pres.sync.3", ["partition", 3]],
  allPresenceSyncs: ["mln.pres.sync.*"],
  interest: ["mln.int.batch"],
  interestApplied: ["mln.int.applied.listener-0", ["name", "listener-0"]],
  interestSync: ["mln.int.sync.listener-0", ["name", "listener-0"]],
  appAnnounce: ["mln.app.announce"],
  appAnnounceSync: ["mln.app.sync"],
  appRefusal: ["mln.app.refused.climate", ["name", "climate"]],
  allAppRefusals: ["mln.app.refused.*"],
  heartbeat: ["mln.svc.heartbeat.listener", ["name", "listener"]],
  allHeartbeats: ["mln.svc.heartbeat.*"],
  downlink: ["mln.down.owner.3", ["partition", 3]],
  listenerDownlink: ["mln.down.listener.listener-0", ["name", "listener-0"]],
  sessionClaim: ["mln.lsn.claim.listener-0", ["name", "listener-0"]],
  sessionTakeover: ["mln.lsn.takeover.3", ["partition", 3]],
  allSessionTakeovers: ["mln.lsn.takeover.*"],
  lostWills: ["mln.lsn.wills"],
  appRequest: ["mln.app.request.climate", ["name", "climate"]],
  ledgerQuery: ["mln.ledger.query"],
  resourceQuery: ["mln.res.query"],
  resourceCheck: ["mln.res.check"],
  tapBatch: ["mln.tap.batch.3", ["partition", 3]],
  allTapBatches: ["mln.tap.batch.*"],
  tapInterest: ["mln.tap.interest"],
  tapGap: ["mln.tap.gap.tail-1", ["name", "tail-1"]],
  sessionHome: ["mln.ses.home.3", ["partition", 3]],
  sessionReports: ["mln.ses.report.3", ["partition", 3]],
  sessionDeliver: ["mln.ses.deliver.3", ["partition", 3]],
  sessionDeliveries: ["mln.ses.listener.listener-0", ["name", "listener-0"]],
  sessionBeat: ["mln.ses.beat"],
  sessionInterest: ["mln.ses.interest"],
  sessionInterestSync: ["mln.ses.sync.3", ["partition", 3]],
  retainedKeep: ["mln.ret.keep.3", ["partition", 3]],
  retainedQuery: ["mln.ret.query.3", ["partition", 3]],
  retainedClear: ["mln.ret.clear.3", ["partition", 3]],
  retainedSync: ["mln.ret.sync.core", ["name", "core"]],
  auditLog: ["mln.aud.log.3", ["partition", 3]],
  allAuditLogs: ["mln.aud.log.*"],
  commandRequest: ["mln.cmd.request.3", ["partition", 3]],
  commandJournal: ["mln.cmd.journal.3", ["partition", 3]],
  allCommandJournals: ["mln.cmd.journal.*"],
  allRegistryBars: ["mln.reg.bars.*"],
  registryBars: ["mln.reg.bars.3", ["partition", 3]],
  flowRequest: ["mln.flw.request.3", ["partition", 3]],
  flowJournal: ["mln.flw.journal.3", ["partition", 3]],
  allFlowJournals: ["mln.flw.journal.*"],
  ruleRequest: ["mln.rul.request.3", ["partition", 3]],
  ruleJournal: ["mln.rul.journal.3", ["partition", 3]],
  allRuleJournals: ["mln.rul.journal.*"],
  registryRequest: ["mln.reg.request.3", ["partition", 3]],
  deviceKey: ["3.plant.boiler=2F7", ["partition", 3], ["name", "plant"], ["name", "boiler/7"]],
  shadowRequest: ["mln.shd.request.3", ["partition", 3]],
  shadowChange: [
    "mln.shd.change.3.plant.boiler=2F7.main",
    ["partition", 3],
    ["name", "plant"],
    ["name", "boiler/7"],
    ["name", "main"],
  ],
  sharedShadow: ["mln.shd.shared.3", ["partition", 3]],
  allSharedShadows: ["mln.shd.shared.*"],
  shadowKey: [
    "3.plant.boiler=2F7.=",
    ["partition", 3],
    ["name", "plant"],
    ["name", "boiler/7"],
    ["name", ""],
  ],
  retainedState: ["mln.ret.state"],
  retainedMessage: ["mln.ret.msg.3.plant.site=2Fa", ["partition", 3], ["name", "plant"], ["name", "site/a"]],
  retainedOfPartition: ["mln.ret.msg.3.>", ["partition", 3]],
  historyQuery: ["mln.his.query"],
  sysFigures: ["mln.sys.figures"],
  operations: ["mln.ops.ask"],
  traceInterest: ["mln.ops.trace"],
  traceBatch: ["mln.ops.traced.site=2Fa", ["name", "site/a"]],
  allRetainedMessages: ["mln.ret.msg.>"],
  sessionJournal: ["mln.ses.journal.3", ["partition", 3]],
  allSessionJournals: ["mln.ses.journal.*"],
};

type Anything = (...args: (string | number)[]) => string;
const call = (name: string, args: (string | number)[]): string =>
  (subjects as unknown as Record<string, Anything>)[name]!(...args);
const name = fc.string({ unit: "binary", maxLength: 40 }).filter((s) => s.isWellFormed());
const hostile = fc.constantFrom("*", ">", ".", "a.b", "", " ", "\0", "a.>", "\r\n", "mln.evt.batch.1");

describe("subjects", () => {
  it("are all pinned", () => {
    expect(Object.keys(subjects).sort()).toEqual(Object.keys(PINS).sort());
  });

  it.each(Object.entries(PINS))("%s stays as it is", (key, [pinned, ...args]) => {
    expect(
      call(
        key,
        args.map(([, value]) => value),
      ),
    ).toBe(pinned);
  });

  const withNames = Object.entries(PINS).filter(([, [, ...args]]) =>
    args.some(([kind]) => kind !== "partition"),
  );

  it.each(withNames)(
    "%s is one literal subject with as many tokens as ever, whatever users are called",
    (key, pin) => {
      const [pinned, ...args] = pin;
      const values = fc.tuple(
        ...args.map(([kind, v]) => (kind === "partition" ? fc.constant(v) : fc.oneof(name, hostile))),
      );
      fc.assert(
        fc.property(values, (given) => {
          const subject = call(key, given as string[]);
          expect(subject).toMatch(/^[A-Za-z0-9_=-]+(\.[A-Za-z0-9_=-]+)+$/);
          expect(subject.split(".")).toHaveLength(pinned.split(".").length);
        }),
      );
    },
  );

  it.each(withNames)("%s never gives two users one subject", (key, [, ...args]) => {
    const values = fc.tuple(
      ...args.map(([kind, v]) => (kind === "partition" ? fc.constant(v) : fc.oneof(name, hostile))),
    );
    fc.assert(
      fc.property(values, values, (a, b) => {
        const same = JSON.stringify(a) === JSON.stringify(b);
        expect(call(key, a as string[]) === call(key, b as string[])).toBe(same);
      }),
    );
  });

  it("of the overflow tell whose share lies there", () => {
    const text = fc.oneof(name, hostile);
    fc.assert(
      fc.property(text, text, fc.nat(), (kind, target, partition) => {
        const subject = subjects.overflowBatch(kind, target, partition);
        expect(overflowOwner(subject)).toEqual({ kind, target, partition });
      }),
    );
    for (const other of ["mln.evt.overflow.app.3", "mln.evt.overflow.app.a.x", subjects.eventBatch(1), ""]) {
      expect(overflowOwner(other)).toBeUndefined();
    }
  });

  it.each([[1.5], [-1], [Number.NaN], [2 ** 60]])("take no partition %d", (partition) => {
    expect(() => subjects.eventBatch(partition)).toThrow(
      expect.objectContaining({ code: "internal.invalid_argument" }),
    );
  });
});

describe("streams and buckets", () => {
  it("stay as they are", () => {
    expect(
      Object.fromEntries(
        Object.entries(STREAMS).map(([key, s]) => [key, [s.name, ...s.subjects, s.retention, s.whenFull]]),
      ),
    ).toEqual({
      events: ["MLN_EVENTS", "mln.evt.batch.*", "work", "refuse_new"],
      unrouted: ["MLN_UNROUTED", "mln.evt.unrouted.*", "limits", "refuse_new"],
      overflow: ["MLN_OVERFLOW", "mln.evt.overflow.>", "work", "refuse_new"],
      dedupe: ["MLN_DEDUPE", "mln.evt.dedupe.*", "limits", "discard_old"],
      sessions: ["MLN_SESSIONS", "mln.ses.journal.*", "limits", "refuse_new"],
      audit: ["MLN_AUDIT", "mln.aud.log.*", "limits", "discard_old"],
      commands: ["MLN_COMMANDS", "mln.cmd.journal.*", "limits", "refuse_new"],
      presence: ["MLN_PRESENCE", "mln.pres.journal.*", "limits", "refuse_new"],
      flows: ["MLN_FLOWS", "mln.flw.journal.*", "limits", "refuse_new"],
      rules: ["MLN_RULES", "mln.rul.journal.*", "limits", "refuse_new"],
      retained: ["MLN_RETAINED", "mln.ret.msg.>", "limits", "refuse_new"],
    });
    expect(Object.values(BUCKETS).map((b) => b.name)).toEqual([
      "MLN_DEPLOYMENT",
      "MLN_LEASES",
      "MLN_LEDGER",
      "MLN_APPS",
      "MLN_DEVICES",
      "MLN_SHADOWS",
    ]);
  });

  it("take no subject twice: a message belongs to one stream", () => {
    const covers = (filter: string, subject: string): boolean => {
      const f = filter.split(".");
      const s = subject.split(".");
      return (
        f.every((token, i) => token === ">" || token === "*" || token === s[i]) &&
        (f.at(-1) === ">" || f.length === s.length)
      );
    };
    const examples = [
      subjects.eventBatch(1),
      subjects.unroutedBatch(1),
      subjects.overflowBatch("app", "a", 1),
      subjects.dedupeIds(1),
      subjects.sessionJournal(1),
      subjects.retainedMessage(1, "", "a"),
    ];
    const filters = Object.values(STREAMS).flatMap((s) => [...s.subjects]);
    for (const subject of examples) expect(filters.filter((f) => covers(f, subject))).toHaveLength(1);
  });
});
