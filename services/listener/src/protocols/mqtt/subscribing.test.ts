import type { ISubackPacket } from "mqtt-packet";
import { expect, it } from "vitest";
import { mqttRig } from "../../../test/mqtt-rig.js";

/** A client of a listener whose dispatchers take their time. */
function waiting() {
  const asked: string[] = [];
  const rig = mqttRig(
    {},
    {
      retained: {
        isFull: false,
        list: async () => ({ found: [], more: false }),
        clear: async () => 0,
        sysWanted: () => {},
        fetch: (_tenant: string, filter: string) => {
          asked.push(filter);
          return { resume: () => {} };
        },
      },
    },
  );
  const client = rig.connected("s", 5);
  const waits: PromiseWithResolvers<void>[] = [];
  rig.table.settled = () => {
    const wait = Promise.withResolvers<void>();
    waits.push(wait);
    return wait.promise;
  };
  const subscribe = (messageId: number, ...topics: string[]): void =>
    client.send({
      cmd: "subscribe",
      messageId,
      subscriptions: topics.map((topic) => ({ topic, qos: 0 as const })),
    });
  const came = async (): Promise<string[]> => {
    await new Promise(setImmediate);
    return client.packets().map((packet) => `${packet.cmd} ${packet.messageId}`);
  };
  return { client, waits, subscribe, came, asked };
}

it("is answered when the filters are known everywhere, and then what is retained is asked for", async () => {
  const { waits, subscribe, came, asked, client } = waiting();
  subscribe(1, "a", "b/#/c", "b");
  expect([await came(), asked]).toEqual([[], []]);
  waits[0]?.resolve();
  await new Promise(setImmediate);
  expect((client.packets()[0] as ISubackPacket).granted).toEqual([0, 0x8f, 0]);
  expect(asked).toEqual(["a", "b"]);
});

it("is answered at once when it brings no new filter", async () => {
  const { waits, subscribe, came, asked } = waiting();
  subscribe(1, "a");
  waits[0]?.resolve();
  expect(await came()).toEqual(["suback 1"]);
  subscribe(2, "a");
  expect([await came(), waits.length, asked]).toEqual([["suback 2"], 1, ["a", "a"]]);
});

it("asks for nothing retained when the client has unsubscribed or gone meanwhile", async () => {
  const { client, waits, subscribe, came, asked } = waiting();
  subscribe(1, "a", "b");
  client.send({ cmd: "unsubscribe", messageId: 2, unsubscriptions: ["a"] });
  expect(await came()).toEqual(["unsuback 2"]);
  waits[0]?.resolve();
  expect([await came(), asked]).toEqual([["suback 1"], ["b"]]);
  subscribe(3, "c");
  client.lose();
  waits[1]?.resolve();
  expect([await came(), asked]).toEqual([[], ["b"]]);
});
