/**
 * Nanoseconds per message of routing, without I/O and without a test runner in between:
 * `pnpm build && node services/dispatcher/src/core/router.bench.ts`. Prints one JSON line per case: the best of the rounds.
 */
import {
  BatchBuilder,
  BatchView,
  createChannel,
  HopHeader,
  Kind,
  Lane,
  Protocol,
  Stamp,
} from "@myelin/contract";
import { FakeClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { LaneQueues } from "../../dist/core/lane-queues.js";
import { Ledger } from "../../dist/core/ledger.js";
import type { Outlet, Target } from "../../dist/core/outlet.js";
import { PlanCompiler, type TargetRef } from "../../dist/core/plan.js";
import { PlanCache } from "../../dist/core/plan-cache.js";
import type { DispatcherPorts } from "../../dist/core/ports.js";
import { type RouteLane, Router } from "../../dist/core/router.js";

const MESSAGES = 500;

/** Subscriptions that come, and as many that go, per batch: at a million messages per second it is 20,000 of each. */
const STORM = 10;
const STANDING = 100_000;

/** Connections of a listener that subscribe to something of their own all the time. */
function startStorm(compiler: PlanCompiler, filterOf: (i: number) => string): () => void {
  const subscriber = { target: { index: 1_000, kind: "null", name: "storm" }, test: undefined };
  const { listeners } = compiler;
  for (let i = 0; i < STANDING; i++) listeners.add("", filterOf(i), subscriber);
  let next = STANDING;
  return () => {
    for (let i = 0; i < STORM; i++, next++) {
      listeners.remove("", filterOf(next - STANDING), subscriber);
      listeners.add("", filterOf(next), subscriber);
    }
  };
}

function setUp(topics: number, targets: number) {
  const compiler = new PlanCompiler();
  const refs: TargetRef[] = Array.from({ length: targets }, (_, index) => ({
    index,
    kind: "null",
    name: `${index}`,
  }));
  for (const target of refs) compiler.subscribe("#", { target, test: undefined });
  const link = {
    partition: 0,
    lane: Lane.TELEMETRY,
    sender: "s",
    incarnation: 1,
    target: "",
    targetInstance: "",
  };
  const header = new HopHeader(link);
  const outlet: Outlet = { state: "open", header, trySend: () => "done", close: () => undefined };
  const target: Target = {
    name: "null",
    whenLagging: "drop",
    start: async () => undefined,
    stop: async () => undefined,
    openOutlet: () => outlet,
  };
  const clock = new FakeClock();
  const ledger = new Ledger();
  const queues = new LaneQueues({
    ports: { clock, log: silentLogger } as unknown as DispatcherPorts,
    ledger,
    way: { partition: 0, epoch: 1, lane: "telemetry" },
    limits: { telemetryBytes: 1e6, eventBytes: 1e6, awayGraceMs: 0 },
    targetOf: () => target,
  });
  const lane: RouteLane = {
    event: false,
    queues,
    account: ledger.account("route", "telemetry"),
    unrouted: undefined,
  };
  const router = new Router(new PlanCache(compiler), () => 0);
  const builder = new BatchBuilder({ ...link, sender: "listener" }, new Stamp(Buffer.alloc(10, 1)));
  const payload = Buffer.alloc(64, 0x61);
  const channels = Array.from({ length: topics }, (_, i) =>
    createChannel(
      i + 1,
      {
        tenant: "",
        deviceId: `device-${i}`,
        path: `plant/line-${i % 7}/device-${i}/temperature`,
        kind: Kind.TELEMETRY,
        protocol: Protocol.MQTT,
        contentType: "",
        port: "mqtt",
        profile: "",
      },
      0,
    ),
  );
  const batches: Buffer[] = [];
  for (let at = 0; at < Math.max(topics, MESSAGES); ) {
    for (let i = 0; i < MESSAGES; i++)
      builder.append(channels[(at++ * 31) % topics]!, payload, 0, payload.length);
    batches.push(Buffer.from(builder.finish()!));
  }
  const view = new BatchView();
  let next = 0;
  const routeOne = (): void => {
    view.reset(batches[next++ % batches.length]!);
    router.route(view, lane, undefined, false, undefined);
  };
  return { compiler, routeOne };
}

function measure(name: string, topics: number, targets: number, filterOf?: (i: number) => string): void {
  const { compiler, routeOne } = setUp(topics, targets);
  const storm = filterOf && startStorm(compiler, filterOf);
  let best = Number.POSITIVE_INFINITY;
  let bestChange = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 15; round++) {
    let routing = 0n;
    let changing = 0n;
    for (let i = 0; i < 800; i++) {
      const before = process.hrtime.bigint();
      storm?.();
      const between = process.hrtime.bigint();
      routeOne();
      changing += between - before;
      routing += process.hrtime.bigint() - between;
    }
    best = Math.min(best, Number(routing) / (800 * MESSAGES));
    bestChange = Math.min(bestChange, Number(changing) / (800 * STORM * 2));
  }
  const figures = { case: name, nsPerMessage: Number(best.toFixed(1)) };
  const more = storm && { nsPerChange: Math.round(bestChange) };
  process.stdout.write(`${JSON.stringify({ ...figures, ...more })}\n`);
}

const own = (i: number): string => `devices/device-${i}/commands/#`;
const published = (i: number): string => `plant/line-${i % 7}/device-${i}/temperature`;
measure("50 topics, one target", 50, 1);
measure("50 topics, three targets", 50, 3);
measure("100,000 topics, one target", 100_000, 1);
measure("50 topics, one target, subscriptions come and go", 50, 1, own);
measure("100,000 topics, one target, subscriptions come and go", 100_000, 1, own);
measure("100,000 topics, one target, subscriptions to those topics come and go", 100_000, 1, published);
