/** Admission that lets devices in by what their profile trusts, before the rules for users are asked. */
import { resourcesOf, type Snapshot } from "@myelin/config";
import type { Clock, Component, ComponentCondition, Timer } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import type {
  AdminScope,
  Admission,
  AdmissionListener,
  AuthenticationExchange,
  ConnectVerdict,
  Credentials,
  Identity,
} from "../core/admission.js";
import { TOKEN_USER } from "../core/http-auth.js";
import { Enrolment, type EnrolmentOptions } from "./enrolment.js";
import { type ProvisioningProfile, readTrusted, type Trust, Trusted } from "./trusted.js";

/** How often changed files are looked for. */
const READ_EVERY_MS = 5_000;

const REFUSED: ConnectVerdict = { allow: false, code: "auth.bad_credentials" };

/** What may be published and subscribed is up to the rules, for the user `profile:<name>`. */
export class ProvisioningAdmission implements Admission, Component {
  readonly name = "admission";
  readonly #enrolment: Enrolment;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #listeners = new Set<AdmissionListener>();
  /** By what each was let in. */
  readonly #grants = new WeakMap<Identity, string>();
  #profiles: readonly ProvisioningProfile[] = [];
  #trusted = new Trusted([]);
  #changes = 0;
  #problems: readonly string[] = [];
  #reading: Promise<void> = Promise.resolve();
  #timer: Timer | undefined;

  constructor(
    private readonly rules: Admission & Component,
    options: EnrolmentOptions,
  ) {
    this.#enrolment = new Enrolment(options);
    this.#clock = options.clock;
    this.#log = options.log;
  }

  get generation(): number {
    return this.rules.generation + this.#changes;
  }

  start(signal: AbortSignal): Promise<void> {
    this.#timer ??= this.#clock
      .setInterval(() => {
        if (this.#profiles.length > 0) this.#readOn();
      }, READ_EVERY_MS)
      .unref();
    return this.rules.start(signal);
  }

  stop(): Promise<void> {
    this.#clock.clear(this.#timer);
    this.#timer = undefined;
    return this.rules.stop();
  }

  condition(): ComponentCondition {
    const condition = this.rules.condition?.() ?? { state: "running" };
    const [problem] = this.#problems;
    return condition.state !== "running" || problem === undefined
      ? condition
      : { state: "degraded", reason: problem };
  }

  /** The profiles of a snapshot hold as soon as what they trust is read. */
  apply(snapshot: Snapshot): void {
    this.#profiles = resourcesOf(snapshot, "DeviceProfile").flatMap(({ metadata, spec: { provisioning } }) =>
      provisioning === undefined ? [] : { name: metadata.name, spec: provisioning },
    );
    this.#enrolment.keep(new Set(this.#profiles.map(({ name }) => name)));
    this.#readOn();
  }

  connect(who: Credentials): ConnectVerdict | Promise<ConnectVerdict> {
    const { user = "", password, certificate, deviceId } = who;
    if (user === TOKEN_USER && this.#trusted.hasTokens) {
      const trust = password === undefined ? undefined : this.#trusted.byToken(password);
      return trust === undefined ? REFUSED : this.#admit(trust, deviceId, who);
    }
    if (user !== "" || certificate === undefined) return this.rules.connect(who);
    const trust = this.#trusted.byCertificate(certificate);
    if (trust === undefined) return this.rules.connect(who);
    // A certificate stands for one device.
    if (certificate.commonName !== deviceId) return { allow: false, code: "auth.not_authorized" };
    return this.#admit(trust, deviceId, who);
  }

  authenticate(method: string, who: Credentials): AuthenticationExchange | undefined {
    return this.rules.authenticate?.(method, who);
  }

  publish(identity: Identity, path: string): boolean {
    return this.rules.publish(identity, path);
  }

  subscribe(identity: Identity, filter: string): boolean {
    return this.rules.subscribe(identity, filter);
  }

  administer(identity: Identity): AdminScope | undefined {
    return this.#grants.has(identity) ? undefined : this.rules.administer?.(identity);
  }

  onChange(listener: AdmissionListener): () => void {
    this.#listeners.add(listener);
    const end = this.rules.onChange((isRevoked) =>
      listener((identity) => !this.#grants.has(identity) && isRevoked(identity)),
    );
    return () => {
      this.#listeners.delete(listener);
      end();
    };
  }

  async #admit(trust: Trust, deviceId: string, who: Credentials): Promise<ConnectVerdict> {
    const verdict = await this.#enrolment.admit(trust.profile, deviceId, who);
    if (!verdict.allow) return verdict;
    // It may have been taken away meanwhile.
    if (!this.#trusted.has(trust.key)) return REFUSED;
    this.#grants.set(verdict.identity, trust.key);
    return verdict;
  }

  /** One after the other, so that the newest counts. */
  #readOn(): void {
    this.#reading = this.#reading.then(() => this.#read());
  }

  async #read(): Promise<void> {
    const { trusted, problems } = await readTrusted(this.#profiles);
    if (problems.join() !== this.#problems.join()) {
      this.#problems = problems;
      if (problems.length > 0) this.#log.warn({ problems }, "what a profile trusts cannot be read");
    }
    const isSame = trusted.isSame(this.#trusted);
    this.#trusted = trusted;
    if (isSame) return;
    this.#changes += 1;
    const isRevoked = (identity: Identity): boolean => {
      const key = this.#grants.get(identity);
      return key !== undefined && !trusted.has(key);
    };
    for (const listener of this.#listeners) listener(isRevoked);
  }
}
