/** One named port: makes it from its plugin and embeds others in it. */
import { checkValue, formatPath, formatValue } from "@myelin/config";
import { AppError } from "@myelin/kernel";
import type { AnyProtocolPlugin, ProtocolContext, ProtocolPort } from "./protocol.js";

/** Finds a plugin by kind. @throws AppError `config.unknown_kind` that lists the known ones */
export type FindPlugin = (kind: string) => Promise<AnyProtocolPlugin>;

/** What is the same for all ports. */
export interface SharedContext extends Omit<ProtocolContext, "port" | "listen" | "embed" | "embedLike"> {
  /** Checked settings of another port; undefined when there is none of that kind and name. */
  readonly portConfig: (kind: string, name: string) => unknown;
}

/** Makes a port that is started and stopped as one; `create` of a plugin may load its libraries. */
export class PortSlot implements ProtocolPort {
  readonly name: string;
  private port: ProtocolPort | undefined;

  constructor(
    private readonly kind: string,
    private readonly portName: string,
    private readonly config: unknown,
    private readonly shared: SharedContext,
    private readonly find: FindPlugin,
  ) {
    this.name = `${kind}/${portName}`;
  }

  get bound(): ProtocolPort["bound"] {
    return this.port?.bound;
  }

  async start(signal: AbortSignal): Promise<void> {
    const plugin = await this.find(this.kind);
    const port = await plugin.create(this.config, this.context(this.kind, true));
    this.port = port;
    await port.start(signal);
    const { bound } = port;
    if (bound !== undefined) {
      this.shared.log.info(
        { protocol: this.kind, port: this.portName, host: bound.host, number: bound.port },
        "a port is open",
      );
    }
  }

  async stop(): Promise<void> {
    const port = this.port;
    this.port = undefined;
    await port?.stop();
  }

  private context(kind: string, listen: boolean): ProtocolContext {
    return {
      ...this.shared,
      port: this.portName,
      listen,
      log: this.shared.log.child({ component: kind, instance: this.portName }),
      embed: (other, config = {}) => this.embed(other, config),
      embedLike: (other, name, over) => this.embedLike(other, name, over),
    };
  }

  private async embed(kind: string, config: Readonly<Record<string, unknown>>): Promise<ProtocolPort> {
    const plugin = await this.find(kind);
    const { value, problems } = checkValue(plugin.schema, config);
    const problem = problems[0];
    if (problem !== undefined) {
      throw new AppError(
        "config.invalid",
        `${kind} in port ${this.portName}: ${formatPath(problem.path)}: ${formatValue(problem.value)} must be ${problem.rule}`,
      );
    }
    return await plugin.create(value, this.context(kind, false));
  }

  private async embedLike(
    kind: string,
    name: string,
    over: Readonly<Record<string, unknown>>,
  ): Promise<ProtocolPort> {
    const plugin = await this.find(kind);
    const config = this.shared.portConfig(kind, name);
    if (config === undefined) {
      throw new AppError(
        "config.invalid",
        `the port ${this.portName} wants to be like ${kind} port ${name}, which is not there`,
      );
    }
    return await plugin.create(Object.freeze({ ...config, ...over }), this.context(kind, false));
  }
}
