/** A bridge to an MQTT broker: one connection after the other, with growing waits between those that fail. */
import type { BridgeSpec } from "@myelin/config";
import { AppError, type Backoff, backoff } from "@myelin/kernel";
import { BRIDGE_PREFIX } from "../../core/bridge-id.js";
import type { Bridge, BridgeContext, BridgeStatus } from "../bridge.js";
import { BridgeConnection, type ConnectionSettings, scopeOf } from "./bridge-connection.js";
import { TopicMaps } from "./topic-maps.js";

/** A connection that has lasted for this long is trouble no more: the next wait is a short one. */
const SETTLED_MS = 10_000;
const STORE_WITHIN_MS = 3_000;

export class MqttBridge implements Bridge {
  status: BridgeStatus;
  private readonly settings: Omit<ConnectionSettings, "onUp">;
  private readonly waits: Backoff;
  private readonly stopping = new AbortController();
  private connection: BridgeConnection | undefined;
  private running: Promise<void> | undefined;
  private upSinceMs = Number.POSITIVE_INFINITY;
  /** Of the trouble that was logged; the same again is counted only. */
  private told: string | undefined;

  constructor(
    private readonly spec: BridgeSpec,
    private readonly ctx: BridgeContext,
  ) {
    const { remote, maxCrossed, reconnect, outbox } = spec;
    const { name, site, clock } = ctx;
    this.status = { state: "connecting", sinceMs: clock.wallMs(), lastError: undefined };
    this.waits = backoff({ initialMs: reconnect.min, maxMs: reconnect.max });
    this.settings = {
      remote: remote.mqtt,
      clientId: remote.mqtt.clientId ?? `${BRIDGE_PREFIX}${site}/${name}`,
      maps: new TopicMaps(spec.topics),
      outbox,
      rules: { isVersion5: remote.mqtt.version === "5", maxCrossed, mark: `${site}/${name}` },
      formerFilters: [],
      onRefused: (filters) => this.refused(filters),
    };
  }

  start(): void {
    this.running = this.run();
  }

  async stop(how: "leave" | "lost" | "end"): Promise<void> {
    const { ctx, connection } = this;
    this.stopping.abort(new AppError("operation.aborted", "the bridge was stopped"));
    if (connection?.gone === false) {
      if (how === "lost") connection.disconnect("lost", new AppError("session.lost", "the lease was lost"));
      else await connection.close(how === "leave", STORE_WITHIN_MS);
    }
    if (how === "end") ctx.sessionHomes.discard(ctx.identity);
    await this.running;
  }

  private async run(): Promise<void> {
    const { clock } = this.ctx;
    const { signal } = this.stopping;
    while (!signal.aborted) {
      const error = await this.once();
      if (signal.aborted) return;
      this.failed(error);
      if (clock.nowMs() - this.upSinceMs >= SETTLED_MS) this.waits.reset();
      this.upSinceMs = Number.POSITIVE_INFINITY;
      // An aborted sleep ends the loop by its condition.
      await clock.sleep(this.waits.nextMs(), signal).catch(() => undefined);
    }
  }

  private async once(): Promise<AppError> {
    const { ctx, spec } = this;
    this.become("connecting");
    const address = new URL(spec.remote.mqtt.url).host;
    const connection = new BridgeConnection(scopeOf(ctx), address, ctx, {
      ...this.settings,
      onUp: () => this.up(),
    });
    this.connection = connection;
    await connection.open();
    return await connection.ended;
  }

  private up(): void {
    const { ctx, spec } = this;
    ctx.counters.connects += 1;
    this.upSinceMs = ctx.clock.nowMs();
    this.told = undefined;
    this.become("connected");
    ctx.log.info({ url: spec.remote.mqtt.url }, "a bridge is connected");
  }

  private failed({ code, message }: AppError): void {
    const { ctx, status } = this;
    ctx.counters.failures += 1;
    const lastError = { code, message, atMs: ctx.clock.wallMs() };
    this.status = { ...status, lastError };
    this.become("waiting");
    if (this.told === message) return;
    this.told = message;
    ctx.log.warn({ code, problem: message }, "a bridge is not connected, will try again");
  }

  private refused(filters: readonly string[]): void {
    const { ctx } = this;
    const message = `the broker gives nothing of ${filters.join(", ")}`;
    this.status = {
      ...this.status,
      lastError: { code: "auth.not_authorized", message, atMs: ctx.clock.wallMs() },
    };
    ctx.log.warn({ filters }, "a broker refuses filters of a bridge");
  }

  private become(state: BridgeStatus["state"]): void {
    if (this.status.state === state) return;
    this.status = { ...this.status, state, sinceMs: this.ctx.clock.wallMs() };
  }
}
