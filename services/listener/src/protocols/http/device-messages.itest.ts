/** Devices that fetch their messages: beside those that are connected, with each other, and as many as there may be. */
import { connect } from "node:net";
import { waitFor } from "@myelin/testkit";
import mqtt from "mqtt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { downlink, type Rig, startRig } from "../../../test/listener-rig.js";

const resources = new AsyncDisposableStack();
let rig: Rig;
let other: Rig;

beforeAll(async () => {
  const few = { maxFetchingDevicesPerClient: 2 };
  rig = resources.use(await startRig({ http: { web: {}, few }, mqtt: { mqtt: {} } }));
  const second = { nats: rig.nats, instance: "listener-1" };
  other = resources.use(
    await startRig(
      { http: { web: { maxFetchingDevices: 1, ratePerSecond: 1, rateBurst: 1 } }, mqtt: { mqtt: {} } },
      second,
    ),
  );
});
afterAll(async () => {
  await resources.disposeAsync();
});

const get = (from: Rig, path: string, init?: RequestInit, port = "web"): Promise<Response> =>
  fetch(`http://127.0.0.1:${from.port(port)}/api/v1/devices/${path}`, init);

async function code(from: Response | Promise<Response>): Promise<string> {
  const answer = await from;
  return answer.status === 204 ? "nothing" : ((await answer.json()) as { code: string }).code;
}

async function connected(to: Rig, clientId: string): Promise<mqtt.MqttClient & AsyncDisposable> {
  const url = `mqtt://127.0.0.1:${to.port("mqtt")}`;
  const client = await mqtt.connectAsync(url, { clientId, reconnectPeriod: 0, protocolVersion: 5 });
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.endAsync(true) });
}

const hasInbox = (at: Rig, deviceId: string) =>
  waitFor(
    async () => (await downlink(at, deviceId, { path: "p", payload: "1" })).code !== "device.not_connected",
    {
      what: "the device",
    },
  );

describe("a device that is connected", () => {
  it.each([
    ["to this listener", () => rig],
    ["to another listener", () => other],
  ])("%s keeps its connection, and who wants to fetch its messages is told so", async (where, at) => {
    const id = `live ${where}`;
    await using client = await connected(at(), id);
    const answer = await get(rig, `${id}/messages?wait=5s`);
    expect([answer.status, await code(answer)]).toEqual([409, "device.connected"]);
    expect(await code(get(rig, `${id}/stream`))).toBe("device.connected");
    expect(client.connected).toBe(true);
    expect((await downlink(at(), id, { path: "p", payload: "1" })).code).not.toBe("device.not_connected");
  });

  it.each([
    ["to this listener", () => rig],
    ["to another listener", () => other],
  ])("%s while a request waits for its messages gets them from then on", async (where, at) => {
    const id = `late ${where}`;
    const poll = get(rig, `${id}/messages?wait=20s`);
    // Each of these messages answers a poll; the next poll finds the device open.
    await hasInbox(rig, id);
    await poll;
    const again = get(rig, `${id}/messages?wait=20s`);
    await using client = await connected(at(), id);
    expect(await code(again)).toBe("device.connected");
    expect(client.connected).toBe(true);
  });
});

describe("several requests for one device", () => {
  it("are answered one after the other: the newest waits, the older hears that there is nothing", async () => {
    const older = get(rig, "twice/messages?wait=20s");
    await waitFor(() => get(rig, "twice/messages?wait=0s").then(({ status }) => status === 204), {
      what: "a poll",
    });
    expect(await code(older)).toBe("nothing");
  });

  it("do not push a stream aside, except another stream", async () => {
    const first = await get(rig, "streams/stream");
    expect(await code(get(rig, "streams/messages"))).toBe("device.connected");
    const stop = new AbortController();
    const second = await get(rig, "streams/stream", { signal: stop.signal });
    expect([second.status, await first.text()]).toEqual([200, ": open\n\n"]);
    stop.abort();
  });
});

describe("who fetches too much", () => {
  it("may fetch for so many devices and no more, until one is gone", async () => {
    const stops = [0, 1, 2].map(() => new AbortController());
    const fetchFor = (n: number) => get(rig, `many${n}/stream`, { signal: stops[n]!.signal }, "few");
    expect([(await fetchFor(0)).status, (await fetchFor(1)).status]).toEqual([200, 200]);
    const answer = await fetchFor(2);
    expect([answer.status, await code(answer)]).toEqual([429, "limit.rate"]);
    // Its messages have found another way.
    await using taken = await connected(other, "many0");
    await waitFor(async () => (await fetchFor(2)).status === 200, {
      what: "the room of the one that is gone",
    });
    expect(taken.connected).toBe(true);
    for (const stop of stops) stop.abort();
  });

  it("meets the bound of the port and the rate of the connection", async () => {
    const stop = new AbortController();
    expect((await get(other, "only/stream", { signal: stop.signal })).status).toBe(200);
    const socket = connect(other.port("web"), "127.0.0.1");
    // In one piece: no token comes back in between.
    socket.write("GET /api/v1/devices/more/messages HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(3));
    let answers = "";
    socket.on("data", (chunk) => {
      answers += String(chunk);
    });
    const codes = () => [...answers.matchAll(/"code":"([a-z._]+)"/g)].map(([, name]) => name);
    await waitFor(() => codes().length === 3, { what: "three answers" });
    // The second takes more than there is, which holds up the third.
    expect(codes()).toEqual(["limit.connections", "limit.connections", "limit.rate"]);
    socket.destroy();
    stop.abort();
  });
});
