/** Who may import whom (docs: STYLE, "Who may import whom"). The only place to change when a package is added. */

/** What the sources of a project may import of our own; tests may import more. */
export const LAYERS: Readonly<Record<string, readonly string[] | "anything">> = (() => {
  const l0 = ["kernel"];
  const l1 = [...l0, "contract", "config", "observability"];
  const l2 = [...l1, "bus", "rpc"];
  const l3 = [...l2, "service-host"];
  return {
    "packages/kernel": [],
    "packages/contract": l0,
    "packages/config": l0,
    "packages/observability": l0,
    "packages/bus": [...l0, "contract", "observability"],
    "packages/data-store": l0,
    "packages/rpc": [...l0, "contract", "observability"],
    "packages/profile": [...l0, "contract", "config"],
    "packages/rules": [...l0, "config", "profile"],
    "packages/flows": [...l0, "config", "profile"],
    "packages/service-host": l2,
    "packages/sdk-node": [...l0, "contract", "rpc"],
    "packages/testkit": l3,
    "services/listener": l3,
    "services/dispatcher": [...l3, "data-store", "flows", "profile", "rules"],
    "services/ipc-bridge": l3,
    "services/hardware-agent": [...l3, "profile"],
    // The composition root wires services together; benches and stories stand outside of the product.
    "packages/cli": "anything",
    "packages/bench": "anything",
    "packages/e2e": "anything",
  };
})();

/** Which packages have the same layer, and so may use each other's `./internal`. */
export const LEVEL: Readonly<Record<string, number>> = {
  kernel: 0,
  contract: 1,
  config: 1,
  observability: 1,
  "data-store": 1,
  bus: 2,
  rpc: 2,
  profile: 2,
  rules: 3,
  flows: 3,
  "service-host": 3,
};

/** What tests may import besides: real servers, and a client to talk to a service with. */
export const TEST_HELPERS = ["testkit", "sdk-node"];

/** Folders of tests that need other services beside their own, to show what all of them do together. */
export const WHOLE_SYSTEM_TESTS: Readonly<Record<string, readonly string[]>> = {
  "services/listener/conformance/": ["dispatcher"],
};

/** Where the test kit may be imported although the file is no test. */
export const TESTKIT_USERS = ["packages/testkit", "packages/e2e", "packages/bench"];

/** A library, and the folders that may import it. `*` at the end stands for any rest. */
export const VENDORS: Readonly<Record<string, readonly string[]>> = {
  "@nats-io/*": ["packages/bus/src/nats/"],
  "@grpc/grpc-js": ["packages/rpc/", "packages/contract/src/generated/"],
  "@bufbuild/protobuf*": ["packages/contract/"],
  pino: ["packages/observability/"],
  "prom-client": ["packages/observability/"],
  "@opentelemetry/*": ["packages/observability/"],
  "@kubernetes/client-node": ["packages/config/src/dynamic/kubernetes/"],
  ajv: ["packages/config/"],
  yaml: ["packages/config/", "packages/cli/"],
  typebox: ["packages/config/", "services/"],
  fastify: ["services/listener/src/protocols/"],
  "@fastify/*": ["services/listener/src/protocols/"],
  ws: ["services/listener/src/protocols/", "packages/sdk-node/", "packages/cli/"],
  mqtt: ["packages/cli/", "services/listener/src/bridges/mqtt/"],
  "mqtt-packet": ["services/listener/src/bridges/mqtt/"],
  msgpackr: ["packages/contract/", "services/dispatcher/src/codecs/"],
  protobufjs: ["services/dispatcher/src/codecs/"],
  "@marcbachmann/cel-js": ["packages/profile/"],
  croner: ["services/dispatcher/src/rules/"],
  "fft.js": ["packages/rules/"],
  tinyqueue: ["packages/rules/"],
  cockatiel: ["packages/sdk-node/"],
  commander: ["packages/cli/"],
  "@bomb.sh/tab*": ["packages/cli/"],
  picocolors: ["packages/cli/"],
  "cli-progress": ["packages/cli/"],
  "cli-table3": ["packages/cli/"],
  ioredis: ["services/dispatcher/src/registry/"],
  mysql2: ["packages/data-store/src/stores/mysql/"],
  pg: ["packages/data-store/src/stores/postgresql/"],
  serialport: ["services/hardware-agent/src/links/serial/"],
  "csv-parse": ["services/listener/src/device-lines/"],
  "csv-stringify*": ["services/listener/src/device-lines/"],
  vitest: ["packages/testkit/"],
};

/** Stand outside of the product, so they choose their libraries freely. */
export const FREE_OF_VENDOR_RULES = ["packages/bench", "packages/e2e"];

/** Each of these libraries has a single file that knows it, so that replacing it is one change. */
export const ONE_FILE_EACH = ["pino", "prom-client", "@opentelemetry/*"];
