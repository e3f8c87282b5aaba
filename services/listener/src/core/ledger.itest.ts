import { createBus, LedgerKeeper, openKeyValue } from "@myelin/bus";
import { BUCKETS, control, Lane } from "@myelin/contract";
import { systemClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { waitFor } from "@myelin/testkit";
import { expect, it } from "vitest";
import { downlink, startRig } from "../../test/listener-rig.js";
import { McpPeer } from "../../test/mcp-peer.js";

const sum = (account: control.LedgerAccount): number =>
  account.forwarded +
  account.stored +
  account.expired +
  account.queued +
  account.dropped.reduce((all, { count }) => all + count, 0);

it("the books of a listener that died are closed by the next start of the same instance", async () => {
  await using rig = await startRig({ tcp: { frames: {} } });
  const device = McpPeer.tcp(rig.port("frames"));
  await device.hello("booked");
  device.send(
    { id: "1", sequence: 1, lane: "event", type: "books/e" },
    { lane: "telemetry", type: "books/t" },
    { lane: "telemetry", type: "books/t" },
  );
  await rig.messages("books/t", 2);
  await device.control("ack");
  const waiting = downlink(rig, "booked", { path: "x", payload: "", wait: true });
  const bucket = await openKeyValue(rig.bus, BUCKETS.ledger);
  const key = `listener.listener-0.${rig.bus.incarnation}`;
  const isComplete = async (): Promise<boolean> => {
    const written = await bucket.get(key);
    if (written === undefined) return false;
    const { accounts } = control.LedgerSnapshot.decode(written.value);
    return accounts.some(({ hop, queued }) => hop === "downlink" && queued === 1);
  };
  await waitFor(isComplete, { what: "the written books" });

  // As after kill -9: another start of the instance, while the first one never came to its end.
  const bus = createBus({
    servers: [rig.nats.url],
    instance: "listener-0",
    service: "test",
    logger: silentLogger,
  });
  await bus.start(AbortSignal.timeout(10_000));
  const next = new LedgerKeeper({
    service: "listener",
    bus,
    clock: systemClock,
    open: () => openKeyValue(bus, BUCKETS.ledger),
    accounts: () => [],
    onWriteFailed: (error) => expect.fail(String(error)),
  });
  await next.start();
  const [closed] = next.snapshot().closed;
  expect(closed).toMatchObject({ incarnation: rig.bus.incarnation });
  const accounts = closed!.accounts.filter(({ received }) => received > 0);
  expect(accounts.map(({ hop, lane, received, queued }) => [hop, lane, received, queued])).toEqual([
    ["ingress", Lane.TELEMETRY, 2, 0],
    ["ingress", Lane.EVENT, 1, 0],
    ["downlink", Lane.COMMAND, 1, 0],
  ]);
  expect(accounts.map((account) => account.received - sum(account))).toEqual([0, 0, 0]);
  expect(accounts[2]!.dropped).toEqual([{ reason: "process_died", count: 1 }]);
  await next.stop();
  await bus.stop();
  const message = await device.next(({ type }) => type === "x", "the message");
  device.send({ control: { kind: "ack", ids: [message.id] } });
  expect((await waiting).code).toBeUndefined();
  device.transport.close();
});
