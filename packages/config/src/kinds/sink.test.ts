import { describe, expect, it } from "vitest";
import { parseResources } from "../dynamic/parse-resources.js";
import { formatResourceProblem } from "../dynamic/resource.js";

const sink = (spec: string) =>
  parseResources(
    `apiVersion: myelin.dev/v1alpha1\nkind: Sink\nmetadata: { name: history }\nspec: ${spec}\n`,
    "s.yaml",
  );

describe("a Sink", () => {
  it("needs no more than a kind of store, and is completed", async () => {
    const { documents } = await sink("{ store: { sqlite: {} } }");
    expect(documents[0]?.resource?.spec).toEqual({
      store: { sqlite: { path: "history.db", maxBytes: 10 * 1024 ** 3 } },
      mapping: { by: "profile", depth: 4 },
      batch: { readings: 50_000, wait: 50 },
    });
  });

  it("may keep its readings in a database, with secrets as references", async () => {
    const { documents } = await sink(
      "{ store: { postgresql: { host: db.example, password: { fromFile: /run/secrets/db }, tls: {} } } }",
    );
    expect(documents[0]?.resource?.spec).toMatchObject({
      store: {
        postgresql: { host: "db.example", port: 5432, database: "myelin", user: "myelin", tls: {} },
      },
    });
  });

  it("may keep its readings in MySQL or MariaDB", async () => {
    const { documents } = await sink("{ store: { mysql: { host: db.example } } }");
    expect(documents[0]?.resource?.spec).toMatchObject({
      store: { mysql: { host: "db.example", port: 3306, database: "myelin", user: "myelin" } },
    });
  });

  it.each([
    ["{ store: { influxdb: { url: 'ftp://a' } } }", "spec.store.influxdb.url"],
    ["{ store: { mysql: {} } }", "spec.store.mysql.host"],
    ["{}", "spec.store: nothing must be given"],
    [
      "{ store: { sqlite: {}, postgresql: { host: a } } }",
      "exactly one of sqlite, postgresql, mysql, influxdb",
    ],
    ["{ store: { postgresql: { host: a, password: secret } } }", "spec.store.postgresql.password"],
    ["{ store: { sqlite: { path: ../x.db } } }", "a relative path without .."],
    ["{ store: { sqlite: { maxBytes: 1KiB } } }", "at least 64MiB"],
    ["{ store: { sqlite: {} }, mapping: { time: { field: at, unit: days } } }", "spec.mapping.time.unit"],
    ["{ store: { sqlite: {} }, retention: 1s }", "at least 1m"],
  ])("is refused with path, value and rule: %s", async (spec, expected) => {
    const { documents, problems } = await sink(spec);
    const all = [...problems, ...documents.flatMap((d) => d.problems)].map(formatResourceProblem);
    expect(all).toEqual([expect.stringContaining(expected)]);
  });
});
