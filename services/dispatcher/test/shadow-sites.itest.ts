import { ShadowClient, type ShadowView } from "@myelin/bus";
import { AppError } from "@myelin/kernel";
import { waitFor } from "@myelin/testkit";
import { describe, expect, it } from "vitest";
import { PARTITIONS, TestBox } from "./support/box.js";
import { Gate } from "./support/gate.js";
import { owning } from "./support/steps.js";

const DEADLINE_MS = 60_000;
const DEVICE = { tenant: "", device: "boiler-7", name: "" };

async function clientOf(box: TestBox): Promise<ShadowClient> {
  const client = new ShadowClient(await box.connect("asker"), PARTITIONS);
  const isServed = () =>
    client.get(DEVICE).then(
      () => true,
      (thrown: unknown) => AppError.from(thrown).code === "shadow.unknown",
    );
  await waitFor(isServed, { what: "the owner of the device", deadlineMs: DEADLINE_MS });
  return client;
}

/** An edge node, and its hub behind a line that can be cut; each with a NATS of its own. */
async function setUp(hub: TestBox, edge: TestBox) {
  const line = await Gate.open(Number(new URL(hub.nats.url).port));
  await owning(await hub.dispatcher("hub"), PARTITIONS);
  await owning(await edge.dispatcher("edge", { hub: { servers: [line.url] } }), PARTITIONS);
  const device = await edge.producer();
  return {
    line,
    atHub: await clientOf(hub),
    atEdge: await clientOf(edge),
    /** The device, which is connected to the edge node, reports. */
    report: (reported: object) =>
      device.event(
        DEVICE.device,
        "$aws/things/boiler-7/shadow/update",
        JSON.stringify({ state: { reported } }),
      ),
  };
}

const stateOf = ({ json }: ShadowView) => {
  const { desired, reported } = (JSON.parse(json) as { readonly state: Record<string, unknown> }).state;
  return { desired, reported };
};

async function untilBoth(clients: readonly ShadowClient[], state: object): Promise<void> {
  let last: unknown;
  const isSo = async (): Promise<boolean> => {
    const views = await Promise.all(clients.map((client) => client.get(DEVICE)));
    last = views.map(stateOf);
    return JSON.stringify(last) === JSON.stringify(clients.map(() => state));
  };
  await waitFor(isSo, { what: "both sites to be equal", deadlineMs: DEADLINE_MS }).catch((cause: unknown) => {
    throw new Error(`they have ${JSON.stringify(last)}`, { cause });
  });
}

describe("a shadow at an edge node and at its hub", () => {
  it("is the same at both, whoever writes, and again when the line between them was cut and both wrote", async () => {
    await using hub = await TestBox.open();
    await using edge = await TestBox.open();
    const { line, atHub, atEdge, report } = await setUp(hub, edge);
    await using _line = line;
    const both = [atHub, atEdge];

    await report({ t: 20 });
    await atEdge.update(DEVICE, { desired: { t: 21 } });
    await untilBoth(both, { desired: { t: 21 }, reported: { t: 20 } });
    await atHub.update(DEVICE, { desired: { t: 22, fan: 1 } });
    await untilBoth(both, { desired: { t: 22, fan: 1 }, reported: { t: 20 } });

    line.cut();
    await atHub.update(DEVICE, { desired: { t: 30, fan: null, hub: true } });
    await atEdge.update(DEVICE, { desired: { t: 25, edge: true } });
    await report({ t: 25 });
    expect(stateOf(await atEdge.get(DEVICE))).toEqual({
      desired: { t: 25, fan: 1, edge: true },
      reported: { t: 25 },
    });
    line.mend();

    const whole = async () => (await Promise.all(both.map((client) => client.get(DEVICE)))).map(stateOf);
    await waitFor(
      async () =>
        JSON.stringify((await whole()).map(({ desired }) => sorted(desired))) ===
        JSON.stringify(both.map(() => ({ edge: true, hub: true, t: 30 }))),
      {
        what: "both to have what the hub and the edge desire",
        deadlineMs: DEADLINE_MS,
      },
    );
    expect((await whole()).map(({ reported }) => reported)).toEqual([{ t: 25 }, { t: 25 }]);
    expect((await atHub.get(DEVICE)).condition).toMatchObject({
      state: "conflict",
      reason: "written here and at the edge: t",
    });
  }, 120_000);

  it("is there at the edge when something is desired of a device at the hub first, and it comes to the edge", async () => {
    await using hub = await TestBox.open();
    await using edge = await TestBox.open();
    const { line, atHub, atEdge, report } = await setUp(hub, edge);
    await using _line = line;
    await atHub.update(DEVICE, { desired: { t: 30 } });
    await report({ t: 20 });
    await untilBoth([atHub, atEdge], { desired: { t: 30 }, reported: { t: 20 } });
  }, 120_000);
});

function sorted(value: unknown): object {
  return Object.fromEntries(Object.entries(value ?? {}).sort(([a], [b]) => (a < b ? -1 : 1)));
}
