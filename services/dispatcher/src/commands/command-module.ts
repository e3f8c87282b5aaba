/** Commands as a module of the device desk: one shard per owned partition, and the answers to whoever asks for them. */
import { type audit, type Head, Kind, subjects, command as wire } from "@myelin/contract";
import { AppError, type Clock } from "@myelin/kernel";
import type { MetricsRegistry } from "@myelin/observability";
import type { Profile } from "@myelin/profile";
import type { AuditLog } from "../audit/audit-log.js";
import type { CoreLog, Ownership, Release } from "../core/ports.js";
import type { DeviceMessage, DeviceModule, DevicePublisher } from "../devices/module.js";
import { type JournalPort, JournalWriter, Replay } from "../journal/journal.js";
import { CommandBook } from "./book.js";
import { DeviceQueues } from "./device-queues.js";
import { commandCodec } from "./journal.js";
import { LatestSamples } from "./latest-samples.js";
import { createDeviceLink, type LinkedPartition } from "./link.js";
import { type CommandMeters, createCommandMeters, NO_METERS } from "./metrics.js";
import type { AuditEntry } from "./ports.js";
import { CommandShard } from "./shard.js";
import { answerTopic, isCommandTopic, readAnswer, verdictTopic } from "./topics.js";

export interface CommandModuleOptions {
  readonly clock: Clock;
  readonly log: CoreLog;
  readonly publisher: Pick<DevicePublisher, "telemetry">;
  openJournal(partition: number): JournalPort;
  openAudit(ownership: Ownership, onFenced: () => void): Promise<AuditLog>;
  serve(subject: string, handler: (data: Uint8Array) => Promise<Uint8Array>): Release;
  partitionOf(partition: number): LinkedPartition | undefined;
  profileOf(tenant: string, device: string): Profile | "unknown" | undefined;
  /** Absent: nobody reads metrics. */
  readonly metrics?: MetricsRegistry | undefined;
}

interface Owned {
  readonly shard: CommandShard;
  readonly samples: LatestSamples;
  readonly journal: JournalWriter<wire.JournalRecord>;
  readonly audit: AuditLog;
  readonly book: CommandBook;
  readonly release: Release;
}

const LAZY_MS = 20;
const SETTLE_MS = 1_000;
const LOOK_EVERY_MS = 5;
const MAX_LIST = 500;

/** One per process. */
export class CommandModule implements DeviceModule {
  readonly name = "commands";
  readonly #owned = new Map<number, Owned>();

  readonly #meters: CommandMeters;

  constructor(private readonly options: CommandModuleOptions) {
    const { metrics } = options;
    this.#meters = metrics === undefined ? NO_METERS : createCommandMeters(metrics, () => this.standing);
  }

  /** Commands in the partitions of this process that have not ended, and those among them that wait for their devices. */
  get standing(): { readonly open: number; readonly waiting: number } {
    let [open, waiting] = [0, 0];
    for (const { book, shard } of this.#owned.values()) {
      open += book.open.size;
      waiting += shard.waiting;
    }
    return { open, waiting };
  }

  wants({ path }: Head): boolean {
    return isCommandTopic(path);
  }

  async acquire(ownership: Ownership, signal: AbortSignal): Promise<void> {
    const { clock, log, openJournal, openAudit, serve, partitionOf, profileOf } = this.options;
    const { partition, epoch } = ownership;
    const port = openJournal(partition);
    const replay = new Replay<CommandBook, wire.JournalRecord>({
      port,
      log,
      codec: commandCodec,
      empty: () => new CommandBook(),
      apply: (book, record) => book.apply(record),
    });
    const { journal, audit } = await this.#take(replay, { partition, epoch }, port, signal, () =>
      openAudit(ownership, () => this.#fenced(partition)),
    );
    const book = replay.store;
    const samples = new LatestSamples();
    const shard = new CommandShard({
      book,
      journal,
      samples,
      clock,
      log,
      meters: this.#meters,
      link: createDeviceLink(() => partitionOf(partition)),
      profileOf,
      audit: (entry) => audit.add(entryOf(entry, clock.wallUs())),
      audited: () => new Promise((resolve) => audit.whenStored(resolve)),
    });
    const release = serve(subjects.commandRequest(partition), (data) => {
      if (!ownership.held) throw new AppError("request.no_responder", "the lease has ended");
      return answer(shard, data);
    });
    this.#owned.set(partition, { shard, samples, journal, audit, book, release });
  }

  async release(partition: number, settle: boolean): Promise<void> {
    const owned = this.#owned.get(partition);
    if (owned === undefined) return;
    this.#owned.delete(partition);
    const { shard, journal, audit, release } = owned;
    release();
    const { clock } = this.options;
    const until = clock.nowMs() + (settle ? SETTLE_MS : 0);
    while (!(journal.idle && audit.idle) && clock.nowMs() < until) await clock.sleep(LOOK_EVERY_MS);
    shard.close();
    journal.close();
    audit.close();
  }

  onMessage(partition: number, message: DeviceMessage): Promise<void> | undefined {
    const owned = this.#owned.get(partition);
    if (owned === undefined) return undefined;
    const { tenant, device, path, profile, samples, isReplayed } = message;
    const key = DeviceQueues.keyOf(tenant, device);
    if (samples.length > 0 && profile !== undefined) {
      owned.samples.take(key, profile, samples, isReplayed);
      if (!isReplayed) return owned.shard.reported(key, samples);
    }
    return isCommandTopic(path) ? this.#answered(owned, message) : undefined;
  }

  /** A device has connected. */
  online(partition: number, tenant: string, device: string): void {
    this.#owned.get(partition)?.shard.online(tenant, device);
  }

  #answered({ shard, book }: Owned, message: DeviceMessage): Promise<void> | undefined {
    const topic = answerTopic(message.path);
    if (topic === undefined) return undefined;
    const { tenant, device, payload, ingestTimeUs, isReplayed } = message;
    const said = topic.device === device && !isReplayed ? readAnswer(payload) : undefined;
    const known = said === undefined ? undefined : book.find(topic.id);
    const isTaken = known?.tenant === tenant && known.device === device;
    if (topic.device === device) this.#verdict(message, topic.id, isTaken, said === undefined);
    if (said === undefined) return undefined;
    return shard.answered(tenant, device, topic.id, { ...said, atUs: ingestTimeUs });
  }

  #verdict({ tenant, device }: DeviceMessage, id: string, isTaken: boolean, isUnreadable: boolean): void {
    const error = isUnreadable ? "InvalidRequest" : "ResourceNotFound";
    const body = isTaken ? { executionId: id } : { executionId: id, error };
    this.options.publisher.telemetry({
      tenant,
      device,
      path: verdictTopic(device, id, isTaken),
      payload: Buffer.from(JSON.stringify(body)),
      kind: Kind.RESPONSE,
    });
  }

  async #take(
    replay: Replay<CommandBook, wire.JournalRecord>,
    { partition, epoch }: Pick<Ownership, "partition" | "epoch">,
    port: JournalPort,
    signal: AbortSignal,
    openAudit: () => Promise<AuditLog>,
  ): Promise<Pick<Owned, "journal" | "audit">> {
    const { clock, log } = this.options;
    await replay.readOn(() => signal.aborted);
    signal.throwIfAborted();
    const { sequence, number, bytes } = replay;
    const onFenced = (): void => this.#fenced(partition);
    const collect = (): void => undefined;
    const journal = new JournalWriter<wire.JournalRecord>(
      { port, epoch, clock, log, lazyMs: LAZY_MS, collect, onFenced },
      commandCodec,
      { sequence, number, bytes },
    );
    await journal.begin();
    try {
      return { journal, audit: await openAudit() };
    } catch (thrown) {
      journal.close();
      throw thrown;
    }
  }

  /** Somebody else writes: what is known here does not hold any more. */
  #fenced(partition: number): void {
    const owned = this.#owned.get(partition);
    this.#owned.delete(partition);
    owned?.release();
    owned?.shard.close();
    owned?.journal.close();
    owned?.audit.close();
  }
}

async function answer(shard: CommandShard, data: Uint8Array): Promise<Uint8Array> {
  const { request } = wire.Request.decode(data);
  switch (request?.$case) {
    case "submit":
      return wire.Command.encode(await shard.submit(request.value)).finish();
    case "get":
      return wire.Command.encode(await shard.get(request.value)).finish();
    case "cancel":
      return wire.Command.encode(await shard.cancel(request.value)).finish();
    case "list": {
      const limit = Math.min(MAX_LIST, request.value.limit);
      return wire.CommandList.encode(shard.list({ ...request.value, limit })).finish();
    }
    case undefined:
      throw new AppError("internal.invalid_argument", "a request about commands that says nothing");
  }
}

function entryOf({ action, command, author, message }: AuditEntry, atUs: number): audit.Entry {
  const { id, tenant, device, name, parameters, overrideReason } = command;
  // The parameters are JSON as they are.
  const details = `${JSON.stringify({ command: name, roles: author?.roles ?? [], message }).slice(0, -1)},"parameters":${parameters}}`;
  return {
    atUs,
    action: `command.${action}`,
    tenant,
    device,
    object: id,
    authorKind: author?.kind ?? "",
    author: author?.name ?? "",
    reason: overrideReason,
    details,
  };
}
