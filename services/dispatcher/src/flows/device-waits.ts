/** What flows wait for of the devices of one partition. */
import { type Head, topicMatches, type flow as wire } from "@myelin/contract";
import { compileWaitCondition } from "@myelin/flows";
import { AppError, type Clock } from "@myelin/kernel";
import type { Condition } from "@myelin/profile";
import type { DeviceMessage } from "../devices/module.js";

/** What has come, and was not asked for, is forgotten after this; so is a wait that nobody asks for any more. */
const FORGET_AFTER_MS = 60_000;
const MAX_WAITS = 10_000;
const MAX_WAITS_OF_DEVICE = 100;
const MAX_WAIT_MS = 10_000;
const MAX_RESULT_CHARS = 64 * 1024;

interface DeviceWait {
  readonly key: string;
  readonly device: string;
  readonly topics: readonly string[];
  readonly condition: Condition | undefined;
  /** Points that came so far, in good quality. */
  readonly points: Map<string, number | boolean | string>;
  result: string | undefined;
  askedAtMs: number;
  wake: (() => void) | undefined;
}

/** One per owned partition. Lives in memory: whoever waits asks again, here or at the next owner. */
export class DeviceWaits {
  readonly #byKey = new Map<string, DeviceWait>();
  readonly #byDevice = new Map<string, Set<DeviceWait>>();

  /** @param onTopic messages are waited for of a device, of which perhaps none came here so far */
  constructor(
    private readonly clock: Clock,
    private readonly onTopic: () => void,
  ) {}

  /** Resolves with what has come, or when nothing has within the time that was asked for. @throws AppError `expression.invalid`, `queue.full` */
  async await(wanted: wire.Await): Promise<wire.Awaited> {
    const wait = this.#byKey.get(wanted.key) ?? this.#add(wanted);
    wait.askedAtMs = this.clock.nowMs();
    if (wait.result === undefined) await this.#next(wait, Math.min(wanted.waitMs, MAX_WAIT_MS));
    const { result } = wait;
    return { hasCome: result !== undefined, result: result ?? "" };
  }

  wants({ tenant, deviceId, path }: Head): boolean {
    for (const { topics } of this.#byDevice.get(deviceKey(tenant, deviceId)) ?? [])
      if (topics.some((filter) => topicMatches(filter, path))) return true;
    return false;
  }

  onMessage(message: DeviceMessage): void {
    const waits = this.#byDevice.get(deviceKey(message.tenant, message.device));
    if (waits === undefined || message.isReplayed) return;
    for (const wait of waits) {
      if (wait.result !== undefined) continue;
      const result = wait.topics.length > 0 ? eventResult(wait, message) : pointResult(wait, message);
      if (result === undefined) continue;
      wait.result = JSON.stringify(result);
      wait.wake?.();
    }
  }

  /** Called about once a second. */
  sweep(): void {
    const before = this.clock.nowMs() - FORGET_AFTER_MS;
    for (const wait of this.#byKey.values()) if (wait.askedAtMs < before) this.#remove(wait);
  }

  close(): void {
    for (const { wake } of this.#byKey.values()) wake?.();
    this.#byKey.clear();
    this.#byDevice.clear();
  }

  #add({ tenant, device, key, topics, when }: wire.Await): DeviceWait {
    const of = deviceKey(tenant, device);
    const others = this.#byDevice.get(of) ?? new Set();
    if (this.#byKey.size >= MAX_WAITS || others.size >= MAX_WAITS_OF_DEVICE)
      throw new AppError("queue.full", `too many flows wait for ${device}`);
    const condition =
      when === "" ? undefined : compileWaitCondition(when, topics.length > 0 ? "event" : "point");
    const wait = {
      key,
      device: of,
      topics,
      condition,
      points: new Map(),
      result: undefined,
      askedAtMs: 0,
      wake: undefined,
    };
    this.#byKey.set(key, wait);
    this.#byDevice.set(of, others.add(wait));
    if (topics.length > 0) this.onTopic();
    return wait;
  }

  #remove(wait: DeviceWait): void {
    this.#byKey.delete(wait.key);
    const others = this.#byDevice.get(wait.device);
    others?.delete(wait);
    if (others?.size === 0) this.#byDevice.delete(wait.device);
  }

  async #next(wait: DeviceWait, waitMs: number): Promise<void> {
    // Only the newest one that asks is told at once: a key has one.
    wait.wake?.();
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        this.clock.clear(timer);
        if (wait.wake === wake) wait.wake = undefined;
        resolve();
      };
      const timer = this.clock.setTimeout(wake, waitMs);
      wait.wake = wake;
    });
  }
}

function eventResult({ topics, condition }: DeviceWait, message: DeviceMessage): object | undefined {
  const { path: topic, device } = message;
  if (!topics.some((filter) => topicMatches(filter, topic))) return undefined;
  const payload = payloadOf(message);
  if (condition !== undefined && !holds(condition, { topic, payload })) return undefined;
  return { device, topic, payload };
}

function pointResult(
  { condition, points }: DeviceWait,
  { device, samples }: DeviceMessage,
): object | undefined {
  let hasCome = false;
  for (const { point, value, quality } of samples) {
    if (condition?.inputs.has(point) !== true) continue;
    hasCome = true;
    if (quality === "good" && value !== null && typeof value !== "object") points.set(point, value);
    else points.delete(point);
  }
  if (!hasCome || condition === undefined || points.size < condition.inputs.size) return undefined;
  const values = Object.fromEntries(points);
  return holds(condition, values) ? { device, ...values } : undefined;
}

function holds(condition: Condition, values: Readonly<Record<string, unknown>>): boolean {
  try {
    return condition.holds(values as never);
  } catch {
    // A message without the field that is asked for is not what is waited for.
    return false;
  }
}

function payloadOf({ payload }: DeviceMessage): unknown {
  if (payload.length > MAX_RESULT_CHARS) return null;
  const text = payload.toString("utf8");
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // Anything else is known as text.
    return text;
  }
}

function deviceKey(tenant: string, device: string): string {
  return `${tenant}\0${device}`;
}
