import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { requires, startProcess, waitFor } from "@myelin/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BreakableLine } from "../scaled-out/breakable-line.js";
import { type Box, launchBox } from "../support/box.js";
import { type Launch, stockClients } from "./clients.js";
import { startPuppet } from "./puppet.js";

const run = promisify(execFile);
const PER_QOS = 60;
const LEVELS = [0, 1, 2] as const;

let box: Box;
beforeAll(async () => {
  box = await launchBox();
});
afterAll(() => box[Symbol.asyncDispose]());

const cases = stockClients.flatMap((client) => client.versions.map((version) => ({ ...client, version })));

describe.each(cases)("$name, protocol level $version", ({ name, needs, version, prepare }) => {
  describe("on this machine", requires.program(needs), () => {
    const prefix = `${name.toLowerCase().replaceAll(/[^a-z]+/g, "-")}-${version}`;
    let launch: Launch;
    beforeAll(async () => {
      launch = await prepare();
    }, 240_000);

    test("has every message of each QoS once, in order, at the QoS it was sent with", async () => {
      const port = box.ports.mqtt;
      await using subscriber = await startPuppet(launch, { port, version, id: `${prefix}-sub` });
      await using publisher = await startPuppet(launch, { port, version, id: `${prefix}-pub` });
      expect(await subscriber.subscribe(`${prefix}/+/data`, 2)).toBe(2);
      for (const qos of LEVELS)
        expect(await publisher.publish(`${prefix}/${qos}/data`, qos, PER_QOS)).toBe(PER_QOS);
      await subscriber.until(() => subscriber.heard.length >= LEVELS.length * PER_QOS, "all messages");
      for (const qos of LEVELS) {
        expect(subscriber.heard.filter(({ topic }) => topic === `${prefix}/${qos}/data`)).toEqual(
          Array.from({ length: PER_QOS }, (_, n) => ({
            topic: `${prefix}/${qos}/data`,
            qos,
            payload: `${qos}-${n}`,
          })),
        );
      }
      expect(subscriber.heard).toHaveLength(LEVELS.length * PER_QOS);
    });

    test("is given no more than the QoS it has asked for", async () => {
      const port = box.ports.mqtt;
      await using client = await startPuppet(launch, { port, version, id: `${prefix}-low` });
      expect(await client.subscribe(`${prefix}/low`, 0)).toBe(0);
      expect(await client.publish(`${prefix}/low`, 2, 1)).toBe(1);
      await client.until(() => client.heard.length > 0, "its own message");
      expect(client.heard).toEqual([{ topic: `${prefix}/low`, qos: 0, payload: "2-0" }]);
    });

    test("hears the will of one that dies, and none of one that says goodbye", async () => {
      const port = box.ports.mqtt;
      await using heir = await startPuppet(launch, { port, version, id: `${prefix}-heir` });
      await heir.subscribe(`${prefix}/wills/#`, 1);
      await using polite = await startPuppet(launch, {
        port,
        version,
        id: `${prefix}-polite`,
        will: `${prefix}/wills/polite`,
      });
      await polite.end();
      const killed = await startPuppet(launch, {
        port,
        version,
        id: `${prefix}-killed`,
        will: `${prefix}/wills/killed`,
      });
      await killed[Symbol.asyncDispose]();
      await heir.until(() => heir.heard.length > 0, "a will");
      expect(heir.heard).toEqual([{ topic: `${prefix}/wills/killed`, qos: 1, payload: "gone" }]);
    });

    test("comes back by itself when its line is cut, and goes on in both directions", async () => {
      await using line = await new BreakableLine(box.ports.mqtt).listen();
      await using client = await startPuppet(launch, { port: line.port, version, id: `${prefix}-cut` });
      await client.subscribe(`${prefix}/cut`, 1);
      line.cut();
      await client.said("subscribed", 2);
      await client.publish(`${prefix}/cut`, 1, 5);
      await client.until(() => client.heard.length >= 5, "what was published after the cut");
      expect(client.heard.map(({ payload }) => payload)).toEqual(["1-0", "1-1", "1-2", "1-3", "1-4"]);
    });
  });
});

describe.each(["311", "5"])("Mosquitto's tools, version %s", (version) => {
  test.each(LEVELS)("carry lines at QoS %i, in order", requires.program("mosquitto_pub"), async (qos) => {
    const port = String(box.ports.mqtt);
    const topic = `mosquitto-${version}/${qos}`;
    const common = ["-p", port, "-V", version, "-q", String(qos), "-t", topic];
    await using subscriber = await startProcess({
      name: "mosquitto_sub",
      command: "stdbuf",
      args: ["-oL", "mosquitto_sub", ...common, "-i", `sub-${version}-${qos}`, "-d", "-F", "> %q %p"],
      ready: { line: /^Subscribed/ },
    });
    const lines = Array.from({ length: PER_QOS }, (_, n) => `line ${n}`);
    const publishing = run("mosquitto_pub", [...common, "-i", `pub-${version}-${qos}`, "-l"]);
    publishing.child.stdin!.end(`${lines.join("\n")}\n`);
    await publishing;
    const heard = () => subscriber.stdout.filter((line) => line.startsWith("> "));
    await waitFor(() => heard().length >= PER_QOS, { what: "all lines", deadlineMs: 20_000 });
    expect(heard()).toEqual(lines.map((line) => `> ${qos} ${line}`));
  });

  test("leave a will behind", requires.program("mosquitto_sub"), async () => {
    const port = String(box.ports.mqtt);
    const topic = `mosquitto-${version}/will`;
    await using heir = await startProcess({
      name: "mosquitto_sub",
      command: "stdbuf",
      args: [
        "-oL",
        "mosquitto_sub",
        "-p",
        port,
        "-V",
        version,
        "-i",
        `heir-${version}`,
        "-t",
        topic,
        "-d",
        "-F",
        "> %p",
      ],
      ready: { line: /^Subscribed/ },
    });
    const dying = await startProcess({
      name: "mosquitto_sub",
      command: "stdbuf",
      args: [
        ...[
          "-oL",
          "mosquitto_sub",
          "-p",
          port,
          "-V",
          version,
          "-i",
          `dying-${version}`,
          "-t",
          "nothing",
          "-d",
        ],
        ...["--will-topic", topic, "--will-payload", "gone", "--will-qos", "1"],
      ],
      ready: { line: /^Subscribed/ },
    });
    await dying.kill("SIGKILL");
    await waitFor(() => heir.stdout.includes("> gone"), { what: "the will" });
    await dying[Symbol.asyncDispose]();
  });
});
