/** The records of devices in Redis: one hash per partition. */
import { AppError, type Clock } from "@myelin/kernel";
import { RedisConnection, type RedisServer } from "./redis-connection.js";
import type { DeviceStore, StoredRecord, StoreEntry } from "./store.js";

/** Within the deadline of a command. */
const REPLICAS_WITHIN_MS = 3_000;
/** Fields of one answer to a scan, about. */
const SCANNED_AT_ONCE = 256;

// A value is the version in decimal digits, a colon, and the record. Versions are microseconds of the server's clock, and each larger than
// the one before: also a server that has lost its last writes gives none of their versions again, if its clock was not set back.
const PUT_ALL = `
  local last = tonumber(redis.call('GET', KEYS[2]) or '0')
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
  if now > last then last = now end
  local versions = {}
  local text = string.format('%.0f', last)
  for i = 1, #ARGV, 3 do
    local found = redis.call('HGET', KEYS[1], ARGV[i])
    if (found and string.match(found, '^%d+') or '0') == ARGV[i + 1] then
      last = last + 1
      text = string.format('%.0f', last)
      redis.call('HSET', KEYS[1], ARGV[i], text .. ':' .. ARGV[i + 2])
      versions[#versions + 1] = text
    else
      versions[#versions + 1] = '0'
    end
  end
  redis.call('SET', KEYS[2], text)
  return versions`;

const ERASE = `
  local found = redis.call('HGET', KEYS[1], ARGV[1])
  if found and string.match(found, '^%d+') == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
  return 0`;

export interface RedisDeviceStoreOptions extends RedisServer {
  /** What all keys begin with, so that deployments may share a server. */
  readonly prefix: string;
  /** That have a change before it is acknowledged; 0: none need to. With topology `single` only. */
  readonly replicas: number;
}

/** What is written is as durable as the server makes it before it answers. Connects when it is first used. */
export class RedisDeviceStore implements DeviceStore {
  readonly #connection: RedisConnection;

  constructor(
    private readonly options: RedisDeviceStoreOptions,
    clock: Clock,
  ) {
    this.#connection = new RedisConnection(options, clock);
  }

  async *read(partition: number, signal: AbortSignal): AsyncIterable<StoredRecord> {
    const [records] = this.#keys(partition);
    let cursor = "0";
    do {
      const [next, found] = await this.#connection.run(`scan ${records} of`, (client) =>
        client.hscanBuffer(records, cursor, "COUNT", SCANNED_AT_ONCE),
      );
      cursor = next.toString();
      for (let i = 1; i < found.length; i += 2) yield parse(found[i]!, records);
    } while (cursor !== "0" && !signal.aborted);
  }

  async get(partition: number, tenant: string, id: string): Promise<StoredRecord | undefined> {
    const [records] = this.#keys(partition);
    const found = await this.#connection.run(`read ${records} of`, (client) =>
      client.hgetBuffer(records, field(tenant, id)),
    );
    return found === null ? undefined : parse(found, records);
  }

  async putAll(partition: number, entries: readonly StoreEntry[]): Promise<readonly (number | AppError)[]> {
    const [records, last] = this.#keys(partition);
    const args = entries.flatMap(({ tenant, id, record, expected }) => [
      field(tenant, id),
      String(expected),
      Buffer.from(record.buffer, record.byteOffset, record.length),
    ]);
    try {
      const what = `write ${entries.length} records to`;
      const versions = await this.#connection.run(what, async (client) => {
        const made = await client.eval(PUT_ALL, 2, records, last, ...args);
        await this.#confirmed(client);
        return made;
      });
      return (versions as readonly string[]).map((version, i) => {
        if (version !== "0") return Number(version);
        const { id, expected } = entries[i]!;
        return new AppError(
          "store.conflict",
          `the record of ${id} in ${records} has not version ${expected}`,
        );
      });
    } catch (thrown) {
      const error = AppError.from(thrown);
      return entries.map(() => error);
    }
  }

  async erase(partition: number, tenant: string, id: string, version: number): Promise<void> {
    const [records] = this.#keys(partition);
    await this.#connection.run(`erase a record of`, (client) =>
      client.eval(ERASE, 1, records, field(tenant, id), String(version)),
    );
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  /** Of the writes of this connection up to now. @throws AppError `store.write_failed`: they may be lost, or not */
  async #confirmed(client: { wait(replicas: number, withinMs: number): Promise<number> }): Promise<void> {
    const { replicas, url } = this.options;
    if (replicas === 0) return;
    const have = await client.wait(replicas, REPLICAS_WITHIN_MS);
    if (have < replicas)
      throw new AppError("store.write_failed", `${have} replicas of ${url} have a change, ${replicas} must`);
  }

  /** The braces let Redis Cluster keep both on one node, as a script needs them. */
  #keys(partition: number): readonly [records: string, last: string] {
    const root = `{${this.options.prefix}:devices:${partition}}`;
    return [`${root}:records`, `${root}:version`];
  }
}

/** Neither may hold a NUL. */
function field(tenant: string, id: string): string {
  return `${tenant}\0${id}`;
}

function parse(value: Buffer, key: string): StoredRecord {
  const colon = value.indexOf(":");
  const version = Number(value.toString("latin1", 0, colon));
  if (colon < 1 || !Number.isSafeInteger(version))
    throw new AppError("store.corrupt", `a value in ${key} does not begin with a version`);
  return { record: value.subarray(colon + 1), version };
}
