/** The users file, and checking passwords against it without stopping anything else. */
import { createHmac, randomBytes } from "node:crypto";
import { array, type Infer, object, optional, string } from "@myelin/config";
import { type Clock, type ErrorCode, TokenBucket } from "@myelin/kernel";
import { type PasswordHash, tryParseHash, verifyPassword } from "../../core/password.js";

export const usersSchema = object({
  users: array(
    object({
      name: string({ description: "User name.", minLength: 1, maxLength: 1024 }),
      password: string({
        description: "Hashed password, scrypt with its parameters.",
        pattern: "^scrypt\\$",
        rule: "an entry scrypt$cost$blockSize$parallel$salt$hash",
      }),
      tenant: string({ default: "", description: "Tenant of the user; empty is the default one." }),
      device: optional(
        string({
          description: "The one device this user is, whatever it calls itself.",
          minLength: 1,
          maxLength: 1024,
        }),
      ),
    }),
    { description: "Everybody who may log in.", maxItems: 1_000_000 },
  ),
});

export type UsersFile = Infer<typeof usersSchema>;

/** A user whose password was right. */
export interface User {
  readonly name: string;
  readonly tenant: string;
  readonly device: string | undefined;
}

interface Entry extends User {
  readonly hash: PasswordHash;
}

/** What the check of a password says. */
export type PasswordVerdict = User | ErrorCode;

/** Checks that run at the same time; the rest of the thread pool is for files and names. */
const PARALLEL_CHECKS = 2;
const MAX_WAITING_CHECKS = 1000;
/** A right password is remembered so long: reconnects and HTTP requests do not pay for scrypt each time. */
const REMEMBER_MS = 60_000;
const MAX_REMEMBERED = 10_000;
/** Wrong passwords of one address before it has to wait. */
const FAILURES = { perSecond: 0.5, burst: 10 };
const MAX_FAILING_ADDRESSES = 10_000;

/** Users by name; a second entry of one name, or a hash that is none, is returned by `problems`. */
export class Users {
  private readonly byName = new Map<string, Entry>();
  readonly problems: readonly string[];

  constructor(file: UsersFile) {
    const problems: string[] = [];
    file.users.forEach(({ name, password, tenant, device }, i) => {
      const hash = tryParseHash(password);
      if (hash === undefined) problems.push(`users[${i}].password is not a hash that can be checked`);
      else if (this.byName.has(name)) problems.push(`users[${i}].name stands twice`);
      else this.byName.set(name, { name, tenant, device, hash });
    });
    this.problems = problems;
  }

  find(name: string): Entry | undefined {
    return this.byName.get(name);
  }
}

/** Checks passwords a few at a time, remembers right ones for a minute, and slows down who keeps guessing. */
export class PasswordChecker {
  private readonly key = randomBytes(32);
  private readonly remembered = new Map<string, { readonly user: User; readonly untilMs: number }>();
  private readonly failing = new Map<string, TokenBucket>();
  private generation = 0;
  private running = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(private readonly clock: Clock) {}

  /** After the users have changed nothing may be remembered. */
  forget(): void {
    this.generation += 1;
    this.remembered.clear();
  }

  check(
    users: Users,
    address: string,
    name: string,
    password: Uint8Array,
  ): PasswordVerdict | Promise<PasswordVerdict> {
    const nowMs = this.clock.nowMs();
    const proof = createHmac("sha256", this.key).update(`${name}\0`).update(password).digest("base64");
    const known = this.remembered.get(proof);
    if (known !== undefined && known.untilMs > nowMs) return known.user;
    const bucket = this.failing.get(address);
    if (bucket !== undefined) {
      // Taking none only lets the bucket refill.
      bucket.take(nowMs, 0);
      if (bucket.bucketTokens < 1) return "limit.rate";
    }
    if (this.waiting.length >= MAX_WAITING_CHECKS) return "limit.rate";
    return this.verify(users, address, name, password, proof);
  }

  private async verify(
    users: Users,
    address: string,
    name: string,
    password: Uint8Array,
    proof: string,
  ): Promise<PasswordVerdict> {
    if (this.running >= PARALLEL_CHECKS) {
      await new Promise<void>((resolve) => {
        this.waiting.push(resolve);
      });
    }
    this.running += 1;
    const { generation } = this;
    try {
      const entry = users.find(name);
      // An unknown name costs as much as a wrong password, so that names cannot be told by the time.
      const right = await verifyPassword(password, entry?.hash ?? NOBODY);
      if (entry === undefined || !right) return this.failed(address);
      const user: User = { name: entry.name, tenant: entry.tenant, device: entry.device };
      // Users that changed during the check may not have this one any more: right once, but not for a minute.
      if (generation === this.generation) this.remember(proof, user);
      return user;
    } finally {
      this.running -= 1;
      this.waiting.shift()?.();
    }
  }

  private remember(proof: string, user: User): void {
    if (this.remembered.size >= MAX_REMEMBERED) this.remembered.delete(this.remembered.keys().next().value!);
    this.remembered.set(proof, { user, untilMs: this.clock.nowMs() + REMEMBER_MS });
  }

  private failed(address: string): ErrorCode {
    const nowMs = this.clock.nowMs();
    let bucket = this.failing.get(address);
    if (bucket === undefined) {
      bucket = new TokenBucket(FAILURES, nowMs);
      if (this.failing.size >= MAX_FAILING_ADDRESSES) {
        this.failing.delete(this.failing.keys().next().value!);
      }
      this.failing.set(address, bucket);
    }
    bucket.take(nowMs);
    return "auth.bad_credentials";
  }
}

const NOBODY: PasswordHash = {
  cost: 16_384,
  blockSize: 8,
  parallel: 1,
  salt: Buffer.alloc(16),
  hash: Buffer.alloc(32),
};
