import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import {
  freePort,
  makeCertificate,
  requires,
  startMosquitto,
  type TempDir,
  type TestCertificate,
  tempDir,
  waitFor,
} from "@myelin/testkit";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { bridgeConditions } from "../src/bridges/conditions.js";
import { BridgeWorld, Client } from "./bridge-world.js";

const PASSWORD_VARIABLE = "MYELIN_TEST_BROKER_PASSWORD";
const LOGIN = { username: "ann", password: "right" };

/** The further listener of a broker, by the scheme of its URL, and what its port shows. */
const DOORS = {
  mqtts: { isSecure: true, lines: [] },
  ws: { isSecure: false, lines: ["protocol websockets"] },
  wss: { isSecure: true, lines: ["protocol websockets"] },
} as const;
type Scheme = keyof typeof DOORS;

/** A Mosquitto that asks for a password, with a door that speaks what the scheme says. */
async function startSecured(dir: TempDir, scheme: Scheme, more: readonly string[] = []) {
  const authority = await makeCertificate(dir, "authority");
  const server = await makeCertificate(dir, "server", { issuer: authority });
  await writeFile(dir.join("users"), "");
  await promisify(execFile)("mosquitto_passwd", ["-b", dir.join("users"), LOGIN.username, LOGIN.password]);
  const { isSecure, lines } = DOORS[scheme];
  const port = await freePort();
  const secured = [
    `cafile ${authority.certFile}`,
    `certfile ${server.certFile}`,
    `keyfile ${server.keyFile}`,
    ...more,
  ];
  const broker = await startMosquitto({
    config: [
      "allow_anonymous false",
      `password_file ${dir.join("users")}`,
      `listener ${port} 127.0.0.1`,
      ...lines,
      ...(isSecure ? secured : []),
    ].join("\n"),
  });
  return { broker, authority, url: `${scheme}://127.0.0.1:${port}` };
}

const password = (reference: string): string => `user: ${LOGIN.username}, password: ${reference}`;
const trust = ({ certFile }: TestCertificate): string => `ca: { fromFile: ${certFile} }`;

const bridgeTo = (url: string, ...fields: string[]): string => `
  remote: { mqtt: { url: "${url}", ${fields.join(", ")} } }
  reconnect: { min: 20ms, max: 200ms }
  topics: [{ filter: a/#, direction: out, qos: 2 }, { filter: b/#, direction: in, qos: 2 }]
`;

/** Sends one message each way. */
async function crossBoth(world: BridgeWorld, port: number): Promise<void> {
  await using far = await Client.open(port, "far", LOGIN);
  const near = await world.client("near");
  await far.mqtt.subscribeAsync("a/#", { qos: 2 });
  await near.mqtt.subscribeAsync("b/#", { qos: 2 });
  await near.mqtt.publishAsync("a/x", "out", { qos: 2 });
  await far.mqtt.publishAsync("b/x", "in", { qos: 2 });
  expect(await far.have(1)).toEqual(["out"]);
  expect(await near.have(1)).toEqual(["in"]);
}

/** What operators read of the bridge once it has failed. */
function trouble({ rigs }: BridgeWorld): Promise<string> {
  return waitFor(
    () => {
      const [ready] = bridgeConditions(rigs[0]!.listener.bridges.records(), new Map());
      return ready?.status === false && ready.reason !== "connecting" ? ready.message : undefined;
    },
    { what: "a failed try", deadlineMs: 20_000 },
  );
}

describe("a bridge to a Mosquitto that is secured", requires.program("mosquitto"), () => {
  it.each([
    ["mqtts", "out of the environment"],
    ["ws", "out of a file"],
    ["wss", "out of a file"],
  ] as const)("exchanges messages over %s, with a password %s", async (scheme, where) => {
    await using dir = await tempDir("bridge-secrets");
    const { broker: server, authority, url } = await startSecured(dir, scheme);
    await using broker = server;
    onTestFinished(() => void vi.unstubAllEnvs());
    vi.stubEnv(PASSWORD_VARIABLE, LOGIN.password);
    await writeFile(dir.join("password"), `${LOGIN.password}\n`);
    const login = password(
      where === "out of a file"
        ? `{ fromFile: ${dir.join("password")} }`
        : `{ fromEnv: ${PASSWORD_VARIABLE} }`,
    );
    await using world = await BridgeWorld.open();
    const tls = DOORS[scheme].isSecure ? [`tls: { ${trust(authority)} }`] : [];
    await world.declare({ b: bridgeTo(url, login, ...tls) });
    await world.up();
    await crossBoth(world, broker.port);
  });

  it("shows its own certificate where the broker asks for one", async () => {
    await using dir = await tempDir("bridge-secrets");
    const {
      broker: server,
      authority,
      url,
    } = await startSecured(dir, "mqtts", ["require_certificate true", "use_identity_as_username true"]);
    await using broker = server;
    const own = await makeCertificate(dir, "plant", { issuer: authority });
    await using world = await BridgeWorld.open();
    await world.declare({ b: bridgeTo(url, `tls: { ${trust(authority)} }`) });
    expect(await trouble(world)).toBe(
      `${url} and the bridge do not agree on TLS: tlsv13 alert certificate required`,
    );
    const files = `cert: { fromFile: ${own.certFile} }, key: { fromFile: ${own.keyFile} }`;
    await world.declare({ b: bridgeTo(url, `tls: { ${trust(authority)}, ${files} }`) });
    await world.up();
    await crossBoth(world, broker.port);
  });

  it("says in one sentence what is wrong with certificate or password, and comes up when that is mended", async () => {
    await using dir = await tempDir("bridge-secrets");
    const { broker: server, authority, url } = await startSecured(dir, "mqtts");
    await using _broker = server;
    await writeFile(dir.join("password"), "wrong-one\n");
    const login = password(`{ fromFile: ${dir.join("password")} }`);
    await using world = await BridgeWorld.open();
    const stranger = await makeCertificate(dir, "stranger");

    await world.declare({ b: bridgeTo(url, login, `tls: { ${trust(stranger)} }`) });
    expect(await trouble(world)).toBe(
      `the certificate of ${url} is not accepted: self-signed certificate in certificate chain`,
    );
    await world.declare({
      b: bridgeTo(url, login, `tls: { ${trust(authority)}, serverName: other.example }`),
    });
    await waitFor(async () => (await trouble(world)).includes("other.example"), { what: "the other name" });
    expect(await trouble(world)).toMatch(
      /^the certificate of \S+ is not accepted: Hostname\/IP does not match/,
    );
    await world.declare({ b: bridgeTo(url, login, `tls: { ca: { fromFile: ${dir.join("none.pem")} } }`) });
    await waitFor(async () => (await trouble(world)).includes("none.pem"), { what: "the missing file" });

    await world.declare({ b: bridgeTo(url, login, `tls: { ${trust(authority)} }`) });
    await waitFor(async () => (await trouble(world)).includes("refuses the bridge"), {
      what: "the password",
    });
    expect(await trouble(world)).toMatch(
      new RegExp(`^${url} refuses the bridge: .*[Nn]ot authorized \\(reason code 135\\)$`),
    );
    expect(JSON.stringify(world.rigs[0]!.listener.bridges.records())).not.toContain("wrong-one");
    await writeFile(dir.join("password"), `${LOGIN.password}\n`);
    await world.up();
  });
});
