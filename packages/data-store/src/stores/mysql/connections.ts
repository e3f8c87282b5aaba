/** A few connections to a MySQL or MariaDB server. The only file that knows the library. */
import { AppError, type Clock } from "@myelin/kernel";
import type { Pool, PoolConnection, TypeCast } from "mysql2/promise";

/** Where the database is, and who asks. */
export interface MysqlServer {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  /** Asked when connections are made; again when the one before was refused. */
  readonly password?: (() => Promise<string>) | undefined;
  /** Absent: no TLS. The server's certificate is always checked, its name too; without `ca` by the authorities that Node.js knows. */
  readonly tls?: { readonly ca?: (() => Promise<string>) | undefined } | undefined;
}

/** Runs one statement. Numbers and texts stand in it: see `sql.ts`. */
export type Query = <R extends object>(sql: string) => Promise<R[]>;

/** One writes, the others answer queries. */
const CONNECTIONS = 4;
/** Those who wait for one of them. */
const MAX_WAITING = 1_000;
const CONNECT_MS = 10_000;
const STATEMENT_MS = 30_000;
const CLOSE_MS = 5_000;
const ACCESS_DENIED = new Set([1044, 1045, 1698]);
/** ER_DISK_FULL, ER_RECORD_FILE_FULL, ER_ERROR_ON_WRITE; the codes mean the same in MySQL and MariaDB. */
const FULL = new Set([1021, 1026, 1114]);
/** ER_LOCK_DEADLOCK, ER_LOCK_WAIT_TIMEOUT. */
const COLLIDED = new Set([1205, 1213]);
/** Errors that the same readings would meet again: syntax, a value out of range, of a wrong form or too long. */
const OUR_FAULT = new Set([1064, 1054, 1264, 1292, 1366, 1406]);

/** What each connection is told once: settings of the server must not change what is stored or found. */
const SESSION = [
  "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
  "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
  "SET SESSION innodb_lock_wait_timeout = 10",
];

interface DriverError {
  readonly errno?: number;
  readonly code?: string;
  readonly sqlState?: string;
  readonly message?: string;
}

/** The library adds the digits of a short number up one by one, so that the last bits of it are sometimes others than were stored. */
const exactNumber: TypeCast = (field, next) => {
  if (field.type !== "DOUBLE") return next();
  const digits = field.string();
  return digits === null ? null : Number(digits);
};

/** Connections that break are replaced at the next use. */
export class MysqlConnections {
  private pool: Promise<Pool> | undefined;
  private readonly open = new Set<PoolConnection["connection"]>();

  constructor(
    private readonly server: MysqlServer,
    private readonly name: string,
    private readonly clock: Clock,
  ) {}

  /**
   * Lends a connection for some statements.
   * @throws AppError `store.*`, of which `store.conflict` when another transaction was in the way; `internal.unexpected`
   */
  async use<T>(work: (query: Query) => Promise<T>): Promise<T> {
    let connection: PoolConnection;
    try {
      this.pool ??= this.create();
      connection = await (await this.pool).getConnection();
    } catch (thrown) {
      // The password may have changed: whoever comes next asks for it again.
      if (ACCESS_DENIED.has((thrown as DriverError).errno ?? 0)) await this.end();
      throw this.told(thrown);
    }
    const query: Query = async (sql) => {
      const [rows] = await connection.query({ sql, timeout: STATEMENT_MS });
      return rows as never;
    };
    try {
      await this.prepare(connection, query);
      const result = await work(query);
      connection.release();
      return result;
    } catch (thrown) {
      // Whatever it was doing, it is not to go on with it.
      connection.destroy();
      this.open.delete(connection.connection);
      throw this.told(thrown);
    }
  }

  /** All of it or nothing, and all that is read is of one moment. */
  transaction<T>(work: (query: Query) => Promise<T>): Promise<T> {
    return this.use(async (query) => {
      await query("START TRANSACTION");
      const result = await work(query);
      await query("COMMIT");
      return result;
    });
  }

  /** Connections on which a server does not answer are cut after a while. */
  async end(): Promise<void> {
    const { pool } = this;
    this.pool = undefined;
    const ended = pool?.then((it) => it.end()).catch(() => undefined);
    if (ended === undefined) return;
    await Promise.race([ended, this.clock.sleep(CLOSE_MS)]);
    for (const connection of this.open) connection.destroy();
    this.open.clear();
  }

  private async create(): Promise<Pool> {
    const { host, port, database, user, password, tls } = this.server;
    try {
      const ca = await tls?.ca?.();
      const secret = await password?.();
      // Loaded by those only who use it.
      const { createPool } = await import("mysql2/promise");
      return createPool({
        host,
        port,
        database,
        user,
        ...(secret !== undefined && { password: secret }),
        ...(tls !== undefined && {
          ssl: { ...(ca !== undefined && { ca }), rejectUnauthorized: true, verifyIdentity: true },
        }),
        charset: "utf8mb4_bin",
        connectionLimit: CONNECTIONS,
        queueLimit: MAX_WAITING,
        connectTimeout: CONNECT_MS,
        supportBigNumbers: true,
        typeCast: exactNumber,
        // A server could ask for any file of ours.
        flags: ["-LOCAL_FILES"],
      });
    } catch (thrown) {
      this.pool = undefined;
      throw thrown;
    }
  }

  private async prepare({ connection }: PoolConnection, query: Query): Promise<void> {
    if (this.open.has(connection)) return;
    for (const sql of SESSION) await query(sql);
    const [{ version } = { version: "" }] = await query<{ version: string }>("SELECT VERSION() AS version");
    // Else a query that nobody waits for any more would go on at the server.
    const limit = /mariadb/i.test(version)
      ? `max_statement_time = ${STATEMENT_MS / 1_000}`
      : `max_execution_time = ${STATEMENT_MS}`;
    await query(`SET SESSION ${limit}`);
    this.open.add(connection);
    connection.once("end", () => this.open.delete(connection));
  }

  private told(thrown: unknown): AppError {
    if (AppError.is(thrown)) return thrown;
    const { errno = 0, code = "", message } = thrown as DriverError;
    const text = `${this.name}: ${message === undefined || message === "" ? code : message}`;
    if (FULL.has(errno)) return new AppError("store.full", text, { cause: thrown });
    if (COLLIDED.has(errno)) return new AppError("store.conflict", text, { cause: thrown });
    if (OUR_FAULT.has(errno)) return new AppError("internal.unexpected", text, { cause: thrown });
    // Whatever else it is, a wrong password or a missing right included, can be put right without us.
    return new AppError("store.unavailable", text, { cause: thrown });
  }
}
