import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { AppError } from "@myelin/kernel";
import { describe, expect, it } from "vitest";
import {
  array,
  boolean,
  durationMs,
  integer,
  object,
  oneOf,
  optional,
  port,
  record,
  secret,
  string,
} from "../schema/builders.js";
import { environmentName, environmentNames } from "./environment.js";
import { loadConfig } from "./load.js";
import { formatConfig } from "./print.js";
import { settingsTable } from "./reference.js";

const d = { description: "x" };
const schema = object({
  log: object({ level: oneOf(["debug", "info"], { description: "How much is | logged.", default: "info" }) }),
  listener: object({
    readTimeoutMs: durationMs({ ...d, default: "30s" }),
    ports: record(object({ port: port(d), tls: boolean({ ...d, default: false }) }), {
      ...d,
      default: {},
      maxProperties: 8,
    }),
    origins: array(string(d), { ...d, default: [], maxItems: 4 }),
    workers: integer({ ...d, default: 1, minimum: 1, maximum: 8 }),
    password: optional(secret(d)),
  }),
});

async function withFile(text: string) {
  const directory = await mkdtemp(join(tmpdir(), "config-"));
  const file = join(directory, "myelin.yaml");
  await writeFile(file, text);
  return { file, [Symbol.asyncDispose]: () => rm(directory, { recursive: true }) };
}

const failureOf = async (loading: Promise<unknown>): Promise<AppError> => {
  const thrown = await loading.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(AppError.is(thrown)).toBe(true);
  return thrown as AppError;
};

describe("loadConfig", () => {
  it("takes defaults, then the file, then the environment, then the command line, and knows each source", async () => {
    await using disk = await withFile(
      "listener:\n  workers: 2\n  ports:\n    main: { port: 1 }\n  origins: [a]\n",
    );
    const config = await loadConfig({
      schema,
      file: disk.file,
      environment: {
        MYELIN_LISTENER__WORKERS: "3",
        MYELIN_LISTENER__PORTS__MAIN__PORT: "2",
        MYELIN_LISTENER__ORIGINS: "b, c",
        MYELIN_LISTENER_PORT: "tcp://10.0.0.1:80",
        PATH: "/bin",
      },
      overrides: [{ path: ["listener", "ports", "main", "port"], value: 3, source: "--port" }],
    });
    expect(config.value).toEqual({
      log: { level: "info" },
      listener: {
        readTimeoutMs: 30_000,
        workers: 3,
        ports: { main: { port: 3, tls: false } },
        origins: ["b", "c"],
      },
    });
    expect(config.sourceOf(["log", "level"])).toBe("default");
    expect(config.sourceOf(["listener", "workers"])).toBe("environment variable MYELIN_LISTENER__WORKERS");
    expect(config.sourceOf(["listener", "ports", "main", "port"])).toBe("--port");
    expect(Object.isFrozen(config.value.listener.ports)).toBe(true);
  });

  it("names the line of a value that the file gives", async () => {
    await using disk = await withFile("log:\n  level: debug\n");
    const config = await loadConfig({ schema, file: disk.file, environment: {} });
    expect(config.sourceOf(["log", "level"])).toBe(`${disk.file}:2`);
  });

  it("lists all problems of all sources at once", async () => {
    await using disk = await withFile("log:\n  level: loud\nlistner: {}\n");
    const environment = {
      MYELIN_LISTENER__WORKERS: "many",
      MYELIN_LISTENER__WORKER: "1",
      MYELIN_NOPE__X: "1",
    };
    const error = await failureOf(loadConfig({ schema, file: disk.file, environment }));
    expect(error.code).toBe("config.invalid");
    expect(error.message.replaceAll(disk.file, "FILE")).toMatchInlineSnapshot(`
      "the configuration has 5 problems
        log.level: "loud" must be one of debug, info (FILE:2)
        listner: {} must be left out: the key is unknown, did you mean listener? (FILE:3)
        listener.workers: "many" must be a whole number from 1 to 8 (environment variable MYELIN_LISTENER__WORKERS)
        (root): "1" must be left out: there is no such setting (environment variable MYELIN_LISTENER__WORKER)
        (root): "1" must be left out: there is no such setting (environment variable MYELIN_NOPE__X)"
    `);
    expect(error.details?.problems).toHaveLength(5);
  });

  it("lets sections of other processes stand", async () => {
    await using disk = await withFile("dispatcher: { anything: 1 }\n");
    const options = { schema, file: disk.file, environment: { MYELIN_DISPATCHER__X: "1" } };
    await loadConfig({ ...options, foreignSections: ["dispatcher"] });
    expect((await failureOf(loadConfig(options))).details?.problems).toHaveLength(2);
  });

  it.each([
    ["a missing file", undefined, /cannot read the configuration .*ENOENT/],
    ["broken YAML", "log: [\n", /not YAML\n.*:2: /],
    ["doubled keys", "log: {}\nlog: {}\n", /:2: Map keys must be unique/],
    ["two documents", "log: {}\n---\nlog: {}\n", /one document/],
    ["a list", "- 1\n", /mapping of sections/],
    ["aliases without end", `a: &a [x]\nb: [${"*a,".repeat(300)}]\n`, /alias/i],
  ])("refuses %s", async (_, text, message) => {
    await using disk = await withFile(text ?? "");
    const file = text === undefined ? `${disk.file}.gone` : disk.file;
    const error = await failureOf(loadConfig({ schema, file, environment: {} }));
    expect([error.code, error.message]).toEqual(["config.unreadable", expect.stringMatching(message)]);
  });

  it("resolves secrets last and never shows them", async () => {
    await using disk = await withFile("hush\n");
    const environment = { MYELIN_LISTENER__PASSWORD__FROM_FILE: disk.file };
    const config = await loadConfig({ schema, environment });
    const password = config.value.listener.password;
    expect(password?.reveal()).toBe("hush");
    for (const shown of [
      JSON.stringify(config.value),
      inspect(config.value),
      `${password}`,
      formatConfig(schema, config),
    ]) {
      expect(shown).not.toContain("hush");
      expect(shown).toContain("redacted");
    }
  });

  it("says which secret cannot be had", async () => {
    const environment = { MYELIN_LISTENER__PASSWORD__FROM_ENV: "ABSENT" };
    const error = await failureOf(loadConfig({ schema, environment }));
    expect([error.code, error.message]).toEqual([
      "config.secret_unavailable",
      expect.stringContaining('listener.password: {"fromEnv":"ABSENT"} must be a variable that is set'),
    ]);
  });
});

describe("what is derived from a schema", () => {
  it("prints each value with its source", async () => {
    const config = await loadConfig({ schema, environment: { MYELIN_LOG__LEVEL: "debug" } });
    expect(formatConfig(schema, config)).toBe(
      [
        'log.level = "debug"  # environment variable MYELIN_LOG__LEVEL',
        'listener.readTimeoutMs = "30000ms"  # default',
        "listener.origins = []  # default",
        "listener.workers = 1  # default",
        "",
      ].join("\n"),
    );
  });

  it("names each variable once", () => {
    expect(environmentName(["listener", "readTimeoutMs"])).toBe("MYELIN_LISTENER__READ_TIMEOUT_MS");
    expect(environmentName(["admission", "static-file", "usersFile"])).toBe(
      "MYELIN_ADMISSION__STATIC_FILE__USERS_FILE",
    );
    expect(environmentNames(schema)).toContain("MYELIN_LISTENER__PORTS__<NAME>__PORT");
  });

  it("draws the table of settings", () => {
    expect(settingsTable(schema.properties?.log ?? {}, { environment: true, prefix: ["log"] })).toBe(
      [
        "| setting | form | default | meaning | variable |",
        "|---|---|---|---|---|",
        '| `log.level` | `debug`, `info` | `"info"` | How much is \\| logged. | `MYELIN_LOG__LEVEL` |',
        "",
      ].join("\n"),
    );
  });
});
