import { describe, expect, it } from "vitest";
import { parseResources } from "../dynamic/parse-resources.js";
import { formatResourceProblem } from "../dynamic/resource.js";

const route = (spec: string, name = "boiler-room") =>
  `apiVersion: myelin.dev/v1alpha1\nkind: Route\nmetadata: { name: ${name} }\nspec:\n${spec}`;

async function problemsOf(text: string) {
  const { documents, problems } = await parseResources(text, "routes.yaml");
  return [...problems, ...documents.flatMap((d) => d.problems)].map(formatResourceProblem);
}

describe("a Route", () => {
  it("with everything in it is accepted and completed", async () => {
    const text = route(`  order: 5
  match:
    ports: [plant]
    protocols: [mqtt, http]
    topics: ["plant/+/temperature", "#", "+", "a/#"]
    paths: ["/readings"]
    types: [temperature]
    devices: ["boiler-*"]
    profiles: [boiler]
    kinds: [telemetry]
    contentTypes: ["application/json"]
    headers: { X-Site: north }
  transform:
    - { codec: json, to: msgpack, select: [t, h.x], rename: { t: temperature }, onError: drop }
    - { codec: msgpack, to: protobuf, protobuf: { file: plant.proto, message: plant.Reading } }
  targets:
    - app: climate
    - nats: plant.readings
    - file: { path: a/readings.ndjson, maxBytes: 1GiB, keep: 2 }
    - device: { id: display-1, path: display/text, ttl: 30s }
  stop: true
`);
    expect(await problemsOf(text)).toEqual([]);
  });

  it("needs no more than one target", async () => {
    const { documents } = await parseResources(route("  targets: [{ app: a }]\n"), "r.yaml");
    expect(documents[0]?.resource?.spec).toEqual({
      order: 100,
      match: {},
      targets: [{ app: "a" }],
      stop: false,
    });
  });

  it.each([
    ["  targets: []\n", "5: spec.targets: [] must be a list of at least 1"],
    ["  targets:\n    - {}\n", "6: spec.targets[0]: {} must be exactly one of app, nats, file, device, sink"],
    [
      "  targets: [{ app: a }]\n  matches: {}\n",
      "6: spec.matches: {} must be left out: the key is unknown, did you mean match?",
    ],
    ["  match: { topics: [a/#/b] }\n  targets: [{ app: a }]\n", "# alone in the last one"],
    ["  match: { topics: [a+/b] }\n  targets: [{ app: a }]\n", "+ stands alone in its level"],
    ['  match: { topics: ["a\\0"] }\n  targets: [{ app: a }]\n', "without a NUL"],
    [
      "  match: { paths: [a/+] }\n  targets: [{ app: a }]\n",
      'spec.match.paths[0]: "a/+" must be a path without wildcards',
    ],
    ['  targets: [{ nats: "a.*" }]\n', "spec.targets[0].nats"],
    ['  targets: [{ nats: "a..b" }]\n', "empty tokens"],
    ['  targets: [{ nats: "$JS.API.x" }]\n', "a subject outside mln"],
    ["  targets: [{ nats: mln.tele.1 }]\n", "a subject outside mln"],
    ["  targets: [{ file: { path: ../x } }]\n", "a relative path without .."],
    ["  targets: [{ file: { path: /etc/passwd } }]\n", "a relative path"],
    ['  targets: [{ device: { id: d, path: "a/#" } }]\n', "a path without wildcards"],
    ["  targets: [{ app: a }, { app: a }]\n", 'spec.targets[1]: {"app":"a"} must be listed once'],
    ["  transform: [{ codec: raw, select: [a] }]\n  targets: [{ app: a }]\n", "a codec that knows fields"],
    [
      "  transform: [{ codec: protobuf }]\n  targets: [{ app: a }]\n",
      "given exactly when codec or to is protobuf",
    ],
    [
      "  transform: [{ codec: protobuf, protobuf: { file: ../x.proto, message: M } }]\n  targets: [{ app: a }]\n",
      "a relative path without ..",
    ],
    ["  transform: [{ codec: raw, to: json }]\n  targets: [{ app: a }]\n", "raw, because codec is raw"],
    [
      "  order: -1\n  targets: [{ app: a }]\n",
      "routes.yaml:5: spec.order: -1 must be a whole number from 0 to 1000000",
    ],
  ])("is refused with line, path, value and rule: %j", async (spec, expected) => {
    expect(await problemsOf(route(spec))).toEqual([expect.stringContaining(expected)]);
  });

  it.each([
    ["Capital", "lower-case"],
    ["-a", "lower-case"],
    ["1", "lower-case"],
  ])("is refused under the name %s", async (name, rule) => {
    expect(await problemsOf(route("  targets: [{ app: a }]\n", name))).toEqual([
      expect.stringContaining(rule),
    ]);
  });
});

describe("a document", () => {
  it.each([
    [
      "of an unknown kind",
      "kind: toString\n",
      'kind: "toString" must be one of AppService, Bridge, Bus, Device, DeviceProfile, Flow, Route',
    ],
    [
      "without a kind",
      "a: 1\n",
      "kind: nothing must be one of AppService, Bridge, Bus, Device, DeviceProfile, Flow, Route",
    ],
    [
      "that is text",
      "hello\n",
      "kind: nothing must be one of AppService, Bridge, Bus, Device, DeviceProfile, Flow, Route",
    ],
    [
      "of another version",
      route("  targets: [{ app: a }]\n").replace("v1alpha1", "v9"),
      'apiVersion: "myelin.dev/v9"',
    ],
    [
      "with a name twice in its file",
      `${route("  targets: [{ app: a }]\n")}---\n${route("  targets: [{ app: b }]\n")}`,
      "metadata.name",
    ],
  ])("%s is refused", async (_, text, expected) => {
    expect(await problemsOf(text)).toEqual([expect.stringContaining(expected)]);
  });

  it("that is empty is nothing", async () => {
    expect(await parseResources("---\n---\n# only a comment\n", "r.yaml")).toEqual({
      documents: [],
      problems: [],
    });
  });
});
