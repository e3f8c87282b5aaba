import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseResources } from "../dynamic/parse-resources.js";
import { formatResourceProblem } from "../dynamic/resource.js";
import { filtersOverlap } from "./topic-rules.js";

const bridge = (spec: string) =>
  `apiVersion: myelin.dev/v1alpha1\nkind: Bridge\nmetadata: { name: head-office }\nspec:\n${spec}`;
const remote = (fields: string) => `  remote: { mqtt: { ${fields} } }\n`;
const PLAIN = remote("url: mqtt://broker");
const OLD = remote('url: mqtt://broker, version: "3.1.1"');
const OUT = "  topics: [{ filter: a/#, direction: out }]\n";

async function problemsOf(text: string) {
  const { documents, problems } = await parseResources(text, "bridge.yaml");
  return [...problems, ...documents.flatMap((d) => d.problems)].map(formatResourceProblem);
}

describe("a Bridge", () => {
  it("with everything in it is accepted", async () => {
    const text = bridge(`  remote:
    mqtt:
      url: mqtts://broker.example.com:8884
      version: "5"
      clientId: plant-7
      user: plant
      password: { fromFile: /run/secrets/broker }
      tls: { ca: { fromFile: ca.pem }, cert: { fromEnv: CERT }, key: { fromEnv: KEY }, serverName: broker, minVersion: TLSv1.2 }
      keepAlive: 20s
      connectTimeout: 5s
  tenant: north
  topics:
    - { filter: "+/state", direction: both, qos: 2, localPrefix: a/, remotePrefix: plant-7/, retain: clear }
    - { filter: "#", direction: in, qos: 0, localPrefix: office/ }
  outbox: { maxMessages: 5000, maxBytes: 1MiB, whenFull: oldest }
  maxCrossed: 2
  reconnect: { min: 1s, max: 1m }
`);
    expect(await problemsOf(text)).toEqual([]);
  });

  it("needs no more than a broker and a topic", async () => {
    const { documents } = await parseResources(bridge(PLAIN + OUT), "b.yaml");
    expect(documents[0]?.resource?.spec).toEqual({
      remote: {
        mqtt: { url: "mqtt://broker", version: "5", keepAlive: 30_000, connectTimeout: 10_000 },
      },
      tenant: "",
      topics: [
        { filter: "a/#", direction: "out", qos: 1, localPrefix: "", remotePrefix: "", retain: "keep" },
      ],
      outbox: { maxMessages: 100_000, maxBytes: 32 * 1024 * 1024, whenFull: "refuse" },
      maxCrossed: 0,
      reconnect: { min: 500, max: 30_000 },
    });
  });

  it.each([
    [OUT, "spec.remote: nothing must be given"],
    [`${PLAIN}  topics: []\n`, "spec.topics: [] must be a list of at least 1"],
    [remote("url: broker") + OUT, 'spec.remote.mqtt.url: "broker" must be a URL such as'],
    [remote("url: http://broker") + OUT, "must be a URL such as mqtts://broker.example.com:8883"],
    [remote("url: mqtt://broker/a") + OUT, "without a path"],
    [remote("url: mqtt://broker, tls: {}") + OUT, "spec.remote.mqtt.tls: {} must be left out"],
    [remote("url: mqtts://broker, tls: { cert: { fromEnv: C } }") + OUT, "given exactly when cert is"],
    [remote("url: mqtt://broker, password: { fromEnv: P }") + OUT, "given, because password is"],
    [remote("url: mqtt://broker, password: secret") + OUT, "a mapping of keys"],
    [`${PLAIN}  topics: [{ filter: a/#/b, direction: in }]\n`, "# alone in the last one"],
    [`${PLAIN}  topics: [{ filter: a, direction: in, localPrefix: "+/" }]\n`, "without wildcards"],
    [`${PLAIN}  topics: [{ filter: "#", direction: in, localPrefix: a }]\n`, "leaves + and # alone"],
    [`${PLAIN}  topics: [{ filter: $SYS/#, direction: out }]\n`, "nor here to $SYS"],
    [`${PLAIN}  topics: [{ filter: $share/a/b, direction: in }]\n`, "not below $share"],
    [
      `${PLAIN}  topics: [{ filter: a, direction: in }, { filter: a, direction: both }]\n`,
      "listed once in each direction: in a is twice",
    ],
    [`${OLD}  topics: [{ filter: a/#, direction: both }]\n`, "with 3.1.1 the broker would send it back"],
    [
      `${OLD}  topics: [{ filter: b, direction: out, remotePrefix: a/ }, { filter: +/b, direction: in }]\n`,
      'spec.topics[1]: "+/b" must be apart from a/b',
    ],
    [`${PLAIN}${OUT}  outbox: { maxMessages: 0 }\n`, "spec.outbox.maxMessages: 0 must be"],
    [`${PLAIN}${OUT}  reconnect: { min: 1m, max: 1s }\n`, "at least reconnect.min"],
  ])("is refused with line, path, value and rule: %j", async (spec, expected) => {
    const problems = await problemsOf(bridge(spec));
    expect(problems).toEqual([expect.stringContaining(expected)]);
    expect(problems[0]).toMatch(/^bridge\.yaml:\d+: /);
  });

  it("whose URL holds a password is refused without repeating it", async () => {
    const problems = await problemsOf(bridge(remote("url: mqtt://ann:hunter2@broker") + OUT));
    expect(problems).toHaveLength(1);
    expect(problems[0]).not.toContain("hunter2");
  });

  it("of 3.1.1 may have the same topics in both directions below other prefixes", async () => {
    const text = `${OLD}  topics: [{ filter: "#", direction: out, remotePrefix: up/ }, { filter: "#", direction: in, remotePrefix: down/ }]\n`;
    expect(await problemsOf(bridge(text))).toEqual([]);
  });
});

describe("two filters", () => {
  const level = fc.constantFrom("a", "b", "+");
  const filter = fc
    .tuple(fc.array(level, { minLength: 1, maxLength: 3 }), fc.boolean())
    .map(([levels, all]) => [...levels, ...(all ? ["#"] : [])].join("/"));
  const fits = (pattern: string, topic: readonly string[]): boolean => {
    const levels = pattern.split("/");
    const end = levels.indexOf("#");
    const heads = end < 0 ? levels : levels.slice(0, end);
    if (end < 0 ? heads.length !== topic.length : topic.length < heads.length) return false;
    return heads.every((head, i) => head === "+" || head === topic[i]);
  };
  const topics = (depth: number): string[][] =>
    depth === 0 ? [[]] : topics(depth - 1).flatMap((rest) => ["a", "b"].map((head) => [head, ...rest]));
  const all = [1, 2, 3, 4].flatMap(topics);

  it("overlap exactly when some topic matches both", () => {
    fc.assert(
      fc.property(filter, filter, (one, other) => {
        expect(filtersOverlap(one, other)).toBe(all.some((t) => fits(one, t) && fits(other, t)));
      }),
    );
  });
});
