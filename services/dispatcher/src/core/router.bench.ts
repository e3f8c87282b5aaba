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
  return () => {
    view.reset(batches[next++ % batches.length]!);
    router.route(view, lane, undefined, false, undefined);
  };
}

function measure(name: string, routeOne: () => void): void {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 15; round++) {
    const before = process.hrtime.bigint();
    for (let i = 0; i < 800; i++) routeOne();
    best = Math.min(best, Number(process.hrtime.bigint() - before) / (800 * MESSAGES));
  }
  process.stdout.write(`${JSON.stringify({ case: name, nsPerMessage: Number(best.toFixed(1)) })}\n`);
}

measure("50 topics, one target", setUp(50, 1));
measure("50 topics, three targets", setUp(50, 3));
measure("100,000 topics, one target", setUp(100_000, 1));
