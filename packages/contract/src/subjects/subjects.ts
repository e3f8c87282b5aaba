/** Every NATS subject of Myelin. Nothing else writes a subject as a literal. */
import { createHash } from "node:crypto";
import { AppError } from "@myelin/kernel";
import { escapeToken, MAX_TOKEN_CHARS } from "./escape.js";

/** A partition as a token: a number such as 1.5 would make two of it. */
function part(partition: number): string {
  if (Number.isSafeInteger(partition) && partition >= 0) return String(partition);
  throw new AppError("internal.invalid_argument", `there is no partition ${partition}`);
}

/** Subject of telemetry batches of one partition; core NATS. */
export const telemetryBatch = (partition: number): string => `mln.tel.batch.${part(partition)}`;
/** Subject of event batches of one partition; stream EVENTS. */
export const eventBatch = (partition: number): string => `mln.evt.batch.${part(partition)}`;
/** All event batches: what the stream EVENTS takes. */
export const allEventBatches = (): string => "mln.evt.batch.*";
/** Event batches that no route wanted; stream UNROUTED. */
export const unroutedBatch = (partition: number): string => `mln.evt.unrouted.${part(partition)}`;
/** All batches that no route wanted: what the stream UNROUTED takes. */
export const allUnroutedBatches = (): string => "mln.evt.unrouted.*";
/** The share of a lagging target, per partition; stream OVERFLOW. */
export const overflowBatch = (targetKind: string, target: string, partition: number): string =>
  `mln.evt.overflow.${escapeToken(targetKind)}.${escapeToken(target)}.${part(partition)}`;
/** The shares of all lagging targets in one partition. */
export const overflowOfPartition = (partition: number): string => `mln.evt.overflow.*.*.${part(partition)}`;
/** All shares of lagging targets: what the stream OVERFLOW takes. */
export const allOverflowBatches = (): string => "mln.evt.overflow.>";
/** Sender ids an owner has seen, per partition; stream DEDUPE. */
export const dedupeIds = (partition: number): string => `mln.evt.dedupe.${part(partition)}`;
/** All sender ids: what the stream DEDUPE takes. */
export const allDedupeIds = (): string => "mln.evt.dedupe.*";

/** Batches for one bridge instance. */
export const bridgeDeliver = (bridge: string): string => `mln.brg.deliver.${escapeToken(bridge)}`;
/** Batches for one listener instance: what its subscribers asked for. */
export const listenerDeliver = (listener: string): string => `mln.lsn.deliver.${escapeToken(listener)}`;
/** Batch for a group of a shared subscription, by its key: what members elsewhere have left. Request/reply, queue group of the listeners and homes of sessions with members. */
export const sharedHandback = (key: string): string => `mln.lsn.share.${hashed(key)}`;
/** LinkAck messages for one sender instance of any service. */
export const linkAck = (instance: string): string => `mln.link.ack.${escapeToken(instance)}`;

/** PresenceBatch for the partition's owner. */
export const presence = (partition: number): string => `mln.pres.batch.${part(partition)}`;
/** Asks all listeners for a complete PresenceBatch of the partition. */
export const presenceSync = (partition: number): string => `mln.pres.sync.${part(partition)}`;
/** Every request for a complete PresenceBatch, of whatever partition. */
export const allPresenceSyncs = (): string => "mln.pres.sync.*";
/** PresenceBatch of the registry: who is connected, of one partition; stream PRESENCE. */
export const presenceJournal = (partition: number): string => `mln.pres.journal.${part(partition)}`;
/** The journals of all partitions: what the stream PRESENCE takes. */
export const allPresenceJournals = (): string => "mln.pres.journal.*";
/** InterestBatch of every listener, for all dispatchers. */
export const interest = (): string => "mln.int.batch";
/** Asks one listener, or all ("all"), to replay its interest whole. */
export const interestSync = (listener: string): string => `mln.int.sync.${escapeToken(listener)}`;
/** InterestApplied of every dispatcher, for one listener. */
export const interestApplied = (listener: string): string => `mln.int.applied.${escapeToken(listener)}`;
/** AppAnnouncement of every bridge, for all dispatchers. */
export const appAnnounce = (): string => "mln.app.announce";
/** Asks all bridges to announce now. */
export const appAnnounceSync = (): string => "mln.app.sync";
/** AppError: why the dispatchers do not take an app; bridges end its streams with it. */
export const appRefusal = (app: string): string => `mln.app.refused.${escapeToken(app)}`;
/** Refusals of all apps. */
export const allAppRefusals = (): string => "mln.app.refused.*";
/** Heartbeat of every service instance. */
export const heartbeat = (service: string): string => `mln.svc.heartbeat.${escapeToken(service)}`;
/** Heartbeats of all services. */
export const allHeartbeats = (): string => "mln.svc.heartbeat.*";

/** DownlinkRequest to the owner of the device's partition. Request/reply. */
export const downlink = (partition: number): string => `mln.down.owner.${part(partition)}`;
/** DownlinkRequest to the listener that holds the connection. Request/reply. */
export const listenerDownlink = (listener: string): string => `mln.down.listener.${escapeToken(listener)}`;
/** Claims a device session held by another listener. Request/reply. */
export const sessionClaim = (listener: string): string => `mln.lsn.claim.${escapeToken(listener)}`;
/** Claim of a device id after a connect: listeners that hold an older connection of it close it. */
export const sessionTakeover = (partition: number): string => `mln.lsn.takeover.${part(partition)}`;
/** Claims of device ids in all partitions. */
export const allSessionTakeovers = (): string => "mln.lsn.takeover.*";
/** LostWills of a listener that has died, for one that goes on with them. Request/reply, queue group of the listeners that can. */
export const lostWills = (): string => "mln.lsn.wills";

/** Request from an app to an app, answered by a bridge that holds an instance. Queue group by app. */
export const appRequest = (app: string): string => `mln.app.request.${escapeToken(app)}`;

/** Asks every service instance for its LedgerSnapshot. Request, many replies. */
export const ledgerQuery = (): string => "mln.ledger.query";

/** Query for what became of resources, asked of every process that follows them. Request, many Reports. */
export const resourceQuery = (): string => "mln.res.query";
/** Check of resources that are to be declared, asked of every process that follows them. Request, many Verdicts. */
export const resourceCheck = (): string => "mln.res.check";

/** A copy of what passes, for `myelin tail`: the tap of one partition, published only while somebody listens. */
export const tapBatch = (partition: number): string => `mln.tap.batch.${part(partition)}`;
/** The taps of all partitions. */
export const allTapBatches = (): string => "mln.tap.batch.*";
/** TapInterest: a tail announces itself every second while it runs. */
export const tapInterest = (): string => "mln.tap.interest";
/** TapGap for one tail. */
export const tapGap = (id: string): string => `mln.tap.gap.${escapeToken(id)}`;

/** Question of an operator to every process that knows of clients or sessions. Request, many Reports. */
export const operations = (): string => "mln.ops.ask";
/** TraceInterest: a tracer announces itself every second while it looks. */
export const traceInterest = (): string => "mln.ops.trace";
/** TraceBatches for one tracer. */
export const traceBatch = (id: string): string => `mln.ops.traced.${escapeToken(id)}`;

/** HomeRequest to the home of the MQTT sessions of one partition. Request/reply. */
export const sessionHome = (partition: number): string => `mln.ses.home.${part(partition)}`;
/** SessionReports to the home of one partition. Request/reply. */
export const sessionReports = (partition: number): string => `mln.ses.report.${part(partition)}`;
/** Batches for the home of one partition: what its sessions asked for. */
export const sessionDeliver = (partition: number): string => `mln.ses.deliver.${part(partition)}`;
/** SessionDeliveries for the connections of one listener. Request/reply. */
export const sessionDeliveries = (listener: string): string => `mln.ses.listener.${escapeToken(listener)}`;
/** HomeBeat of every home. */
export const sessionBeat = (): string => "mln.ses.beat";
/** SessionInterest of every home, for all dispatchers. */
export const sessionInterest = (): string => "mln.ses.interest";
/** Asks the home of one partition to replay its interest whole. */
export const sessionInterestSync = (partition: number): string => `mln.ses.sync.${part(partition)}`;
/** JournalBatch of one partition; stream SESSIONS. */
export const sessionJournal = (partition: number): string => `mln.ses.journal.${part(partition)}`;
/** The journals of all partitions: what the stream SESSIONS takes. */
export const allSessionJournals = (): string => "mln.ses.journal.*";

/** KeepRequest to the owner of a partition of topics. Request/reply. */
export const retainedKeep = (partition: number): string => `mln.ret.keep.${part(partition)}`;
/** QueryRequest to the owner of a partition of topics. Request/reply. */
export const retainedQuery = (partition: number): string => `mln.ret.query.${part(partition)}`;
/** ClearRequest to the owner of a partition of topics. Request/reply. */
export const retainedClear = (partition: number): string => `mln.ret.clear.${part(partition)}`;
/** SyncRequest to one dispatcher. Request/reply. */
export const retainedSync = (dispatcher: string): string => `mln.ret.sync.${escapeToken(dispatcher)}`;
/** KeeperState of every dispatcher. */
export const retainedState = (): string => "mln.ret.state";
/** The retained message of one topic, its tenant and topic as tokens; stream RETAINED. */
export const retainedMessage = (partition: number, tenant: string, topic: string): string =>
  `mln.ret.msg.${part(partition)}.${retainedToken(tenant)}.${retainedToken(topic)}`;
/** The retained messages of one partition of topics. */
export const retainedOfPartition = (partition: number): string => `mln.ret.msg.${part(partition)}.>`;
/** All retained messages: what the stream RETAINED takes. */
export const allRetainedMessages = (): string => "mln.ret.msg.>";

/** Query of what sinks have stored. Request/reply, queue group of the dispatchers. */
export const historyQuery = (): string => "mln.his.query";

/** Batch of the audit log of one partition; stream AUDIT. */
export const auditLog = (partition: number): string => `mln.aud.log.${part(partition)}`;
/** The audit logs of all partitions: what the stream AUDIT takes. */
export const allAuditLogs = (): string => "mln.aud.log.*";

/** Request about flows and their runs, to the owner of the partition of the flow; what a device is awaited to say, to that of the device. Request/reply. */
export const flowRequest = (partition: number): string => `mln.flw.request.${part(partition)}`;
/** JournalBatch of the runs of one partition; stream FLOWS. */
export const flowJournal = (partition: number): string => `mln.flw.journal.${part(partition)}`;
/** The journals of all partitions: what the stream FLOWS takes. */
export const allFlowJournals = (): string => "mln.flw.journal.*";

/** Request about the commands of devices, to the owner of their partition. Request/reply. */
export const commandRequest = (partition: number): string => `mln.cmd.request.${part(partition)}`;
/** JournalBatch of the commands of one partition; stream COMMANDS. */
export const commandJournal = (partition: number): string => `mln.cmd.journal.${part(partition)}`;
/** The journals of all partitions: what the stream COMMANDS takes. */
export const allCommandJournals = (): string => "mln.cmd.journal.*";

/** Request about the alarms of devices, to the owner of their partition. Request/reply. */
export const ruleRequest = (partition: number): string => `mln.rul.request.${part(partition)}`;
/** JournalBatch of the rules of one partition; stream RULES. */
export const ruleJournal = (partition: number): string => `mln.rul.journal.${part(partition)}`;
/** The journals of all partitions: what the stream RULES takes. */
export const allRuleJournals = (): string => "mln.rul.journal.*";

/** SysFigures of every listener, for all listeners. */
export const sysFigures = (): string => "mln.sys.figures";

/** Names that are too long for a token stand as their hash: what is stored says the name in full. */
/** Requests about the records of devices, to the owner of their partition. */
export const registryRequest = (partition: number): string => `mln.reg.request.${part(partition)}`;
/** BarChange of a partition's owner, for all listeners. */
export const registryBars = (partition: number): string => `mln.reg.bars.${part(partition)}`;
/** Every BarChange, of whatever partition. */
export const allRegistryBars = (): string => "mln.reg.bars.*";
/** Key of a device's record in the bucket DEVICES: partition, tenant and id. */
export const deviceKey = (partition: number, tenant: string, id: string): string =>
  `${part(partition)}.${retainedToken(tenant)}.${retainedToken(id)}`;
/** Requests about the shadows of devices, to the owner of their partition. */
export const shadowRequest = (partition: number): string => `mln.shd.request.${part(partition)}`;
/** Document of a shadow after each change, published while somebody watches it. */
export const shadowChange = (partition: number, tenant: string, device: string, name: string): string =>
  `mln.shd.change.${part(partition)}.${retainedToken(tenant)}.${retainedToken(device)}.${retainedToken(name)}`;
/** Request without a question: which shadow that an edge node has too has changed at the hub, of one partition. */
export const sharedShadow = (partition: number): string => `mln.shd.shared.${part(partition)}`;
/** The same of all partitions. */
export const allSharedShadows = (): string => "mln.shd.shared.*";
/** Key of a shadow in the bucket SHADOWS: partition, tenant, device and name. What `deviceKey` gives is what the keys of a device begin with. */
export const shadowKey = (partition: number, tenant: string, device: string, name: string): string =>
  `${part(partition)}.${retainedToken(tenant)}.${retainedToken(device)}.${retainedToken(name)}`;

function retainedToken(name: string): string {
  if (name.length <= MAX_TOKEN_CHARS) {
    const token = tryEscape(name);
    if (token !== undefined) return token;
  }
  // No escaped name begins like this: behind `=` stand two hexadecimal digits in capitals.
  return `=x${hashed(name)}`;
}

function hashed(name: string): string {
  return createHash("sha256").update(name).digest("hex");
}

function tryEscape(name: string): string | undefined {
  try {
    return escapeToken(name);
  } catch (thrown) {
    if (AppError.is(thrown) && thrown.code === "contract.bad_token") return undefined;
    throw thrown;
  }
}
