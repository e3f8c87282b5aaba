/** Admission that lets nobody in who is disabled or deleted in the registry of devices, whatever the rules say. */
import type { Component, ComponentCondition } from "@myelin/kernel";
import type {
  AdminScope,
  Admission,
  AdmissionListener,
  AuthenticationExchange,
  AuthenticationStep,
  ConnectVerdict,
  Credentials,
  Identity,
} from "./admission.js";
import type { DeviceBars } from "./device-bars.js";

/** Asks the rules first: who may not connect by them learns nothing of the registry. */
export class BarredAdmission implements Admission, Component {
  readonly name = "admission";

  constructor(
    private readonly rules: Admission & Component,
    private readonly bars: Pick<DeviceBars, "has">,
  ) {}

  get generation(): number {
    return this.rules.generation;
  }

  start(signal: AbortSignal): Promise<void> {
    return this.rules.start(signal);
  }

  stop(): Promise<void> {
    return this.rules.stop();
  }

  condition(): ComponentCondition {
    return this.rules.condition?.() ?? { state: "running" };
  }

  connect(who: Credentials): ConnectVerdict | Promise<ConnectVerdict> {
    const verdict = this.rules.connect(who);
    return verdict instanceof Promise ? verdict.then((late) => this.#checked(late)) : this.#checked(verdict);
  }

  authenticate(method: string, who: Credentials): AuthenticationExchange | undefined {
    const exchange = this.rules.authenticate?.(method, who);
    if (exchange === undefined) return undefined;
    const checked = ({ data, verdict }: AuthenticationStep): AuthenticationStep =>
      verdict === undefined ? { data } : { data, verdict: this.#checked(verdict) };
    return { step: (data) => checked(exchange.step(data)) };
  }

  publish(identity: Identity, path: string): boolean {
    return this.rules.publish(identity, path);
  }

  subscribe(identity: Identity, filter: string): boolean {
    return this.rules.subscribe(identity, filter);
  }

  administer(identity: Identity): AdminScope | undefined {
    return this.rules.administer?.(identity);
  }

  onChange(listener: AdmissionListener): () => void {
    return this.rules.onChange(listener);
  }

  #checked(verdict: ConnectVerdict): ConnectVerdict {
    if (!verdict.allow) return verdict;
    const { tenant, deviceId } = verdict.identity;
    if (deviceId === "" || !this.bars.has(tenant, deviceId)) return verdict;
    return { allow: false, code: "auth.not_authorized" };
  }
}
