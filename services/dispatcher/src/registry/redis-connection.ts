/** The connection to a Redis server. The only file that knows the library. */
import type { Secret } from "@myelin/config";
import { AppError, type Clock, withDeadline } from "@myelin/kernel";
import type { Cluster, Redis } from "ioredis";

/** Where the server is, and who asks. */
export interface RedisServer {
  /** `redis://host:port/database`; `rediss:` is with TLS, and then the server's certificate is checked, its name too. */
  readonly url: string;
  /** `cluster`: the one at `url` tells of the others. */
  readonly topology: "single" | "cluster";
  readonly user?: string | undefined;
  readonly password?: Secret | undefined;
  /** Authority of the server's certificate in PEM form; absent: those that Node.js knows. */
  readonly ca?: Secret | undefined;
}

type Client = Redis | Cluster;

const CONNECT_MS = 5_000;
const COMMAND_MS = 5_000;
const DEADLINE_MS = 8_000;
/** First words of answers to a write that has no room, or that the disk did not take. What Redis calls the code of an error. */
const CODES = { OOM: "store.full", MISCONF: "store.write_failed" } as const;

/**
 * Made when it is first used, and again at the next use after it broke. Nothing waits for a server that is away, so nothing piles up:
 * whoever asks is told, and comes again.
 */
export class RedisConnection {
  #client: Promise<Client> | undefined;

  constructor(
    private readonly server: RedisServer,
    private readonly clock: Clock,
  ) {}

  /** @throws AppError `store.unavailable`, `store.full`, `store.write_failed`; whether a write that threw was made is not known */
  async run<T>(what: string, work: (client: Client) => Promise<T>): Promise<T> {
    const opened = this.#client ?? this.#open();
    const client = await opened;
    try {
      return await this.#within(what, () => work(client));
    } catch (thrown) {
      const error = this.#told(thrown, what);
      // No answer in time, or by one that is no master any more: what else waits on this connection would wait in vain.
      if (error.code === "store.unavailable") {
        if (this.#client === opened) this.#client = undefined;
        client.disconnect();
      }
      throw error;
    }
  }

  /** Cuts the connection; who still waits is told. */
  async close(): Promise<void> {
    const client = await this.#client?.catch(() => undefined);
    client?.disconnect();
  }

  /** The library has deadlines of its own, but not for each of its waits on a cluster. */
  #within<T>(what: string, work: () => Promise<T>): Promise<T> {
    const code = "store.unavailable";
    return withDeadline(undefined, DEADLINE_MS, work, {
      ...{ clock: this.clock, code, what: `the attempt to ${what} ${this.server.url}` },
    });
  }

  #open(): Promise<Client> {
    const opened = this.#connect(() => {
      if (this.#client === opened) this.#client = undefined;
    });
    this.#client = opened;
    return opened;
  }

  async #connect(onEnd: () => void): Promise<Client> {
    const { url, topology, user, password, ca } = this.server;
    let why: unknown;
    let client: Client | undefined;
    try {
      // Loaded by those only who use it.
      const { Cluster, Redis } = await import("ioredis");
      const { protocol, hostname, port, pathname } = new URL(url);
      const place = { host: hostname.replace(/^\[|\]$/g, ""), port: Number(port || 6379) };
      const common = { lazyConnect: true, enableOfflineQueue: false };
      const redisOptions = {
        ...(user !== undefined && { username: user }),
        ...(password !== undefined && { password: password.reveal() }),
        ...(protocol === "rediss:" && { tls: ca === undefined ? {} : { ca: ca.reveal() } }),
        connectionName: "myelin-registry",
        connectTimeout: CONNECT_MS,
        commandTimeout: COMMAND_MS,
        autoResendUnfulfilledCommands: false,
        maxRetriesPerRequest: 0,
      };
      client =
        topology === "cluster"
          ? new Cluster([place], {
              ...common,
              redisOptions,
              enableReadyCheck: false,
              clusterRetryStrategy: () => null,
            })
          : new Redis({
              ...{ ...common, ...redisOptions, ...place },
              db: Number(pathname.slice(1)),
              retryStrategy: () => null,
            });
      // The one who connects and those whose commands fail are told.
      const made = client;
      made.on("error", (error: unknown) => (why = error));
      made.once("end", onEnd);
      await this.#within("connect to", () => made.connect().then(() => expectKept(made)));
      return made;
    } catch (thrown) {
      onEnd();
      client?.disconnect();
      throw this.#told(AppError.is(thrown) ? thrown : (why ?? thrown), "connect to");
    }
  }

  #told(thrown: unknown, what: string): AppError {
    if (AppError.is(thrown)) return thrown;
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    const [word = ""] = message.split(" ", 1);
    const code = Object.hasOwn(CODES, word) ? CODES[word as keyof typeof CODES] : "store.unavailable";
    return new AppError(code, `cannot ${what} ${this.server.url}: ${message}`, { cause: thrown });
  }
}

/** A cache would forget devices. @throws AppError `store.unavailable` */
async function expectKept(client: Client): Promise<void> {
  const [, policy = ""] = /^maxmemory_policy:(\S+)/m.exec(await client.info("memory")) ?? [];
  if (!policy.startsWith("allkeys-")) return;
  const what = `the Redis server removes keys when its memory is full (${policy})`;
  throw new AppError("store.unavailable", `${what}; it must be a store: set maxmemory-policy noeviction`);
}
