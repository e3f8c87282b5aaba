/** The users file, and checking passwords against it without stopping anything else. */
import { createHmac, randomBytes } from "node:crypto";
import { isIPv6 } from "node:net";
import { array, type Infer, object, oneOf, optional, string } from "@myelin/config";
import { type Clock, type ErrorCode, TokenBucket } from "@myelin/kernel";
import { type PasswordHash, tryParseHash, verifyPassword } from "../../core/password.js";
import { type ScramVerifier, tryParseVerifier } from "../../core/scram.js";

export const usersSchema = object({
  users: array(
    object({
      name: string({ description: "User name.", minLength: 1, maxLength: 1024 }),
      password: string({
        description: "Hashed password, scrypt with its parameters.",
        pattern: "^scrypt\\$",
        rule: "an entry scrypt$cost$blockSize$parallel$salt$hash",
      }),
      scram: optional(
        string({
          description:
            "What SCRAM-SHA-256 checks the password by; left out, the user cannot log in that way.",
          pattern: "^SCRAM-SHA-256\\$",
          rule: "an entry SCRAM-SHA-256$iterations:salt$storedKey:serverKey",
        }),
      ),
      tenant: string({ default: "", description: "Tenant of the user; empty is the default one." }),
      device: optional(
        string({
          description: "The one device this user is, whatever it calls itself.",
          minLength: 1,
          maxLength: 1024,
        }),
      ),
      label: optional(
        string({
          description:
            "What settings for some users go by: the bounds of their offline queues, `dispatcher.sessions.labels`.",
          pattern: "^[a-z][a-z0-9]*$",
          rule: "a word of small letters and digits",
          maxLength: 64,
        }),
      ),
      admin: oneOf(["no", "tenant", "all"], {
        default: "no",
        description:
          "Whose clients and sessions the user may see and end over the HTTP API: nobody's, those of its tenant, or all.",
      }),
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
  readonly label: string | undefined;
}

interface Entry extends User {
  readonly hash: PasswordHash;
  readonly scram: ScramVerifier | undefined;
  /** Absent: "no". */
  readonly admin?: UsersFile["users"][number]["admin"] | undefined;
  /** As it stands in the file. */
  readonly line: string;
}

/** What the check of a password says. */
export type PasswordVerdict = User | ErrorCode;

/** Checks that run at the same time; the rest of the thread pool is for files and names. */
const PARALLEL_CHECKS = 2;
/** About five seconds of checks on a small machine: who would wait longer is told to come again. */
const MAX_WAITING_CHECKS = 200;
/** A right password is remembered so long: reconnects and HTTP requests do not pay for scrypt each time. */
const REMEMBER_MS = 60_000;
const MAX_REMEMBERED = 10_000;
/** Wrong passwords of one source before it has to wait, those that are still being checked included. */
const GUESSES = { perSecond: 0.5, burst: 20 };
const MAX_GUESSING_SOURCES = 10_000;

/** Users by name; a second entry of one name, or a hash that is none, is returned by `problems`. */
export class Users {
  private readonly byName = new Map<string, Entry>();
  readonly problems: readonly string[];

  constructor(file: UsersFile) {
    const problems: string[] = [];
    file.users.forEach(({ name, password, scram: line, tenant, device, label, admin }, i) => {
      const hash = tryParseHash(password);
      const scram = line === undefined ? undefined : tryParseVerifier(line);
      if (line !== undefined && scram === undefined) {
        problems.push(`users[${i}].scram is no entry that can be checked`);
      }
      if (hash === undefined) problems.push(`users[${i}].password is not a hash that can be checked`);
      else if (this.byName.has(name)) problems.push(`users[${i}].name stands twice`);
      else {
        const whole = `${password} ${line ?? ""}`;
        this.byName.set(name, { name, tenant, device, label, admin, hash, scram, line: whole });
      }
    });
    this.problems = problems;
  }

  /** Names of users who are not in `next`, or not with this password, tenant, device and label. */
  changedIn(next: Users): ReadonlySet<string> {
    const changed = new Set<string>();
    for (const [name, entry] of this.byName) if (!isSame(entry, next.find(name))) changed.add(name);
    return changed;
  }

  /** Somebody can log in by SCRAM. */
  get hasScram(): boolean {
    return [...this.byName.values()].some(({ scram }) => scram !== undefined);
  }

  find(name: string): Entry | undefined {
    return this.byName.get(name);
  }
}

function isSame(a: Entry | undefined, b: Entry | undefined): boolean {
  return a?.line === b?.line && a?.tenant === b?.tenant && a?.device === b?.device && a?.label === b?.label;
}

function userOf({ name, tenant, device, label }: Entry): User {
  return { name, tenant, device, label };
}

/**
 * Checks passwords a few at a time, remembers right ones for a minute, and slows down who keeps guessing. Equal questions that come
 * at the same time are checked once.
 */
export class PasswordChecker {
  private readonly key = randomBytes(32);
  private readonly remembered = new Map<string, { readonly user: User; readonly untilMs: number }>();
  private readonly pending = new Map<string, Promise<PasswordVerdict>>();
  private readonly guessing = new Map<string, TokenBucket>();
  private running = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(
    private readonly clock: Clock,
    private users: Users,
  ) {}

  /** From here on these are the users, also for checks that have begun; nothing is remembered of others. */
  use(users: Users): void {
    this.users = users;
    this.remembered.clear();
  }

  /** At once where the answer is remembered or the source must wait (`limit.rate`). The password is not kept. */
  check(address: string, name: string, password: Uint8Array): PasswordVerdict | Promise<PasswordVerdict> {
    const nowMs = this.clock.nowMs();
    const proof = createHmac("sha256", this.key).update(`${name}\0`).update(password).digest("base64");
    const known = this.remembered.get(proof);
    if (known !== undefined && known.untilMs > nowMs) return known.user;
    const pending = this.pending.get(proof);
    if (pending !== undefined) return pending;
    if (this.waiting.length >= MAX_WAITING_CHECKS) return "limit.rate";
    const guesses = this.guessesOf(sourceOf(address), nowMs);
    if (!guesses.take(nowMs)) return "limit.rate";
    const verdict = this.verify(guesses, name, password, proof).finally(() => this.pending.delete(proof));
    this.pending.set(proof, verdict);
    return verdict;
  }

  /** Takes one guess of the source; false: it must wait. */
  mayGuess(address: string): boolean {
    const nowMs = this.clock.nowMs();
    return this.guessesOf(sourceOf(address), nowMs).take(nowMs);
  }

  /** The guess that was taken last was none. Undefined: the user is gone, or has another verifier by now. */
  guessedRight(address: string, name: string, verifier: ScramVerifier): User | undefined {
    const entry = this.users.find(name);
    if (entry?.scram !== verifier) return undefined;
    const guesses = this.guessesOf(sourceOf(address), this.clock.nowMs());
    guesses.bucketTokens = Math.min(guesses.bucketTokens + 1, GUESSES.burst);
    return userOf(entry);
  }

  /** What SCRAM checks a user by; undefined also for a name that nobody has. */
  verifierOf(name: string): ScramVerifier | undefined {
    return this.users.find(name)?.scram;
  }

  get offersScram(): boolean {
    return this.users.hasScram;
  }

  private async verify(
    guesses: TokenBucket,
    name: string,
    password: Uint8Array,
    proof: string,
  ): Promise<PasswordVerdict> {
    if (this.running < PARALLEL_CHECKS) this.running += 1;
    else {
      // Whoever is done hands its turn over.
      await new Promise<void>((resolve) => {
        this.waiting.push(resolve);
      });
    }
    try {
      for (;;) {
        const entry = this.users.find(name);
        // An unknown name costs as much as a wrong password, so that names cannot be told by the time.
        const right = await verifyPassword(password, entry?.hash ?? NOBODY);
        // The file may have been edited meanwhile; then the answer is one about the past.
        if (!isSame(entry, this.users.find(name))) continue;
        if (entry === undefined || !right) return "auth.bad_credentials";
        guesses.bucketTokens = Math.min(guesses.bucketTokens + 1, GUESSES.burst);
        const user = userOf(entry);
        this.remember(proof, user);
        return user;
      }
    } finally {
      const next = this.waiting.shift();
      if (next === undefined) this.running -= 1;
      else next();
    }
  }

  private remember(proof: string, user: User): void {
    if (this.remembered.size >= MAX_REMEMBERED) this.remembered.delete(this.remembered.keys().next().value!);
    this.remembered.set(proof, { user, untilMs: this.clock.nowMs() + REMEMBER_MS });
  }

  private guessesOf(source: string, nowMs: number): TokenBucket {
    let bucket = this.guessing.get(source);
    if (bucket === undefined) {
      bucket = new TokenBucket(GUESSES, nowMs);
      if (this.guessing.size >= MAX_GUESSING_SOURCES) {
        this.guessing.delete(this.guessing.keys().next().value!);
      }
      this.guessing.set(source, bucket);
    }
    return bucket;
  }
}

/** An address, or for IPv6 the /64 that one customer is given. */
function sourceOf(address: string): string {
  if (!isIPv6(address) || address.startsWith("::ffff:")) return address;
  const [head = "", tail] = address.split("::");
  const groups = head === "" ? [] : head.split(":");
  const last = tail === undefined || tail === "" ? [] : tail.split(":");
  while (tail !== undefined && groups.length + last.length < 8) groups.push("0");
  return [...groups, ...last].slice(0, 4).join(":");
}

const NOBODY: PasswordHash = {
  cost: 16_384,
  blockSize: 8,
  parallel: 1,
  salt: Buffer.alloc(16),
  hash: Buffer.alloc(32),
};
