/** Admission out of two files, or out of none: then only the machine itself may connect. */
import { randomBytes } from "node:crypto";
import { AppError, type Clock, type Component, type ComponentCondition } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import { isLoopback } from "../../core/addresses.js";
import type {
  AdminScope,
  Admission,
  AdmissionListener,
  AuthenticationExchange,
  ConnectVerdict,
  Credentials,
  Identity,
} from "../../core/admission.js";
import { SCRAM_SHA_256 } from "../../core/scram.js";
import { UNIX_PEER } from "../../core/socket-peer.js";
import { Acl, aclSchema } from "./acl.js";
import type { StaticFileConfig } from "./config.js";
import { ScramLogin } from "./scram-login.js";
import { PasswordChecker, type User, Users, usersSchema } from "./users.js";
import { WatchedFile } from "./watched-file.js";

const REFUSED: ConnectVerdict = { allow: false, code: "auth.bad_credentials" };

export class StaticFileAdmission implements Admission, Component {
  readonly name = "admission";
  generation = 1;
  private acl: Acl | undefined;
  private users: Users | undefined;
  private passwords: PasswordChecker | undefined;
  private readonly listeners = new Set<AdmissionListener>();
  private readonly files: WatchedFile<never>[] = [];
  private readonly secret = randomBytes(32);
  private broken: string | undefined;

  constructor(
    private readonly config: StaticFileConfig,
    private readonly log: Logger,
    private readonly clock: Clock,
  ) {}

  /** @throws AppError `config.unreadable`, `config.invalid`: a listener without its rules must not start */
  async start(): Promise<void> {
    const { usersFile, aclFile, anonymous } = this.config;
    if (usersFile !== "") {
      await this.follow(usersFile, usersSchema, (file) => {
        const users = new Users(file);
        if (users.problems.length > 0) {
          throw new AppError("config.invalid", `${usersFile}: ${users.problems.join("; ")}`);
        }
        const changed = this.users?.changedIn(users);
        this.users = users;
        if (this.passwords === undefined) this.passwords = new PasswordChecker(this.clock, users);
        else this.passwords.use(users);
        this.changed("users read", changed);
      });
    }
    if (aclFile !== "") {
      await this.follow(aclFile, aclSchema, (file) => {
        this.acl = new Acl(file);
        this.changed("access rules read");
      });
    }
    if (anonymous === "loopback" && usersFile === "") {
      this.log.info("no users file is set: only clients on this machine may connect, without a password");
    }
    if (anonymous === "loopback") {
      this.log.info("clients on this machine may see and end the clients of others, without a password");
    }
  }

  async stop(): Promise<void> {
    for (const file of this.files.splice(0)) file.stop();
  }

  condition(): ComponentCondition {
    return this.broken === undefined ? { state: "running" } : { state: "degraded", reason: this.broken };
  }

  connect(who: Credentials): ConnectVerdict | Promise<ConnectVerdict> {
    const { user } = who;
    if (user === undefined || user === "") {
      const name = this.config.certificates === "user" ? who.certificate?.commonName : undefined;
      if (name !== undefined && name !== "") {
        const known = this.users?.find(name);
        return allow(who, known ?? { ...NOBODY_IN_PARTICULAR, name }, false);
      }
      if (this.config.anonymous === "everybody") return allow(who, NOBODY_IN_PARTICULAR, false);
      return this.config.anonymous === "loopback" && this.isLocal(who.address)
        ? allow(who, NOBODY_IN_PARTICULAR, true)
        : REFUSED;
    }
    if (this.passwords === undefined || who.password === undefined) {
      // Without a users file a name proves nothing and hurts nothing: it is what the machine's own tools send.
      return this.passwords === undefined && this.config.anonymous === "loopback" && this.isLocal(who.address)
        ? allow(who, { ...NOBODY_IN_PARTICULAR, name: user }, true)
        : REFUSED;
    }
    const verdict = this.passwords.check(who.address, user, who.password);
    return verdict instanceof Promise
      ? verdict.then(
          (late) => verdictOf(who, late),
          (thrown) => this.failed(thrown),
        )
      : verdictOf(who, verdict);
  }

  authenticate(method: string, who: Credentials): AuthenticationExchange | undefined {
    const { passwords } = this;
    if (method !== SCRAM_SHA_256 || passwords?.offersScram !== true) return undefined;
    return new ScramLogin(passwords, who.address, this.secret, (user) => allow(who, user, false));
  }

  publish(identity: Identity, path: string): boolean {
    return this.decide("publish", identity, path);
  }

  subscribe(identity: Identity, filter: string): boolean {
    return this.decide("subscribe", identity, filter);
  }

  /** By the users file as it is now; the machine itself is trusted with everything. */
  administer(identity: Identity): AdminScope | undefined {
    if (identity.local === true) return "all";
    const { admin = "no" } = this.users?.find(identity.user) ?? {};
    return admin === "no" ? undefined : admin;
  }

  onChange(listener: AdmissionListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** What no rule mentions is open to the machine itself and closed to everybody else. */
  private decide(action: "publish" | "subscribe", identity: Identity, topic: string): boolean {
    if (this.acl === undefined) return true;
    return this.acl.decide(action, identity, topic) ?? identity.local === true;
  }

  private async follow<S extends typeof usersSchema | typeof aclSchema>(
    path: string,
    schema: S,
    onContent: (content: never) => void,
  ): Promise<void> {
    const file = new WatchedFile({
      path,
      schema,
      clock: this.clock,
      onContent: onContent as never,
      onRefused: (error) => {
        this.broken = `${path} was changed and refused`;
        this.log.warn(
          { code: error.code, problem: error.message },
          "a changed file is refused, the last good one stays",
        );
      },
    });
    this.files.push(file as never);
    await file.start();
  }

  private changed(sentence: string, users: ReadonlySet<string> = new Set()): void {
    this.broken = undefined;
    this.generation += 1;
    this.log.info({ generation: this.generation }, sentence);
    for (const listener of this.listeners) listener(({ user, local }) => local !== true && users.has(user));
  }

  private isLocal(address: string): boolean {
    return address === UNIX_PEER || isLoopback(address);
  }

  private failed(thrown: unknown): ConnectVerdict {
    this.log.error({ err: thrown }, "a password could not be checked");
    return { allow: false, code: "internal.unexpected" };
  }
}

function verdictOf(who: Credentials, verdict: Awaited<ReturnType<PasswordChecker["check"]>>): ConnectVerdict {
  if (typeof verdict === "string") return { allow: false, code: verdict };
  return allow(who, verdict, false);
}

const NOBODY_IN_PARTICULAR: User = { name: "", tenant: "", device: undefined, label: undefined };

function allow(
  who: Credentials,
  { name: user, tenant, device, label }: User,
  local: boolean,
): ConnectVerdict {
  const identity: Identity = {
    tenant,
    deviceId: device ?? who.deviceId,
    user,
    clientId: device === undefined ? undefined : who.deviceId,
    label,
    local,
  };
  return { allow: true, identity };
}
