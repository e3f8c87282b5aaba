import { MysqlStore, PostgresqlStore, SqliteStore } from "@myelin/data-store";
import { systemClock } from "@myelin/kernel";
import { startMariadb, startPostgresql, tempDir } from "@myelin/testkit";
import type { Case } from "../../measure/rounds.js";
import { measureQueries, measureWrites, type StoreRig } from "../../measure/stores.js";
import { type Scenario, SUBJECT } from "../scenario.js";

const READINGS = 10_000_000;
const FEW_POINTS = 10;
const MANY_POINTS = 10_000;
/** With many points, where the rate hardly depends on how many there are already. */
const SPREAD_READINGS = 2_000_000;

/** As the defaults of a `Sink`, but that nothing waits. */
const BATCH = { batchReadings: 50_000, batchWaitMs: 0, clock: systemClock };

const KINDS: Readonly<Record<string, { readonly atLeast: number; readonly open: () => Promise<StoreRig> }>> =
  {
    sqlite: {
      atLeast: 200_000,
      open: async () => {
        const dir = await tempDir("bench-sqlite");
        const store = new SqliteStore({ ...BATCH, path: dir.join("history.db"), maxBytes: 2 ** 40 });
        return rigOf(store, dir);
      },
    },
    postgresql: {
      atLeast: 100_000,
      open: async () => {
        const server = await startPostgresql();
        const { host, port } = server;
        const where = { host, port, database: "postgres", user: "myelin" };
        return rigOf(new PostgresqlStore({ ...BATCH, ...where }), server);
      },
    },
    mysql: {
      atLeast: 100_000,
      open: async () => {
        const server = await startMariadb();
        const { host, port } = server;
        return rigOf(new MysqlStore({ ...BATCH, host, port, database: "myelin", user: "myelin" }), server);
      },
    },
  };

function rigOf(store: StoreRig["store"], place: AsyncDisposable): StoreRig {
  return {
    version: process.version,
    store,
    pids: () => [process.pid],
    async [Symbol.asyncDispose]() {
      await store.stop();
      await place[Symbol.asyncDispose]();
    },
  };
}

export const scenario: Scenario = {
  name: "stores",
  summary: `${READINGS / 1e6} M readings of ${FEW_POINTS} points into each kind of store, then questions; again with ${MANY_POINTS} points; Myelin only`,
  protocols: ["mqtt"],
  rounds: 1,
  columns: Object.fromEntries(
    Object.keys(KINDS).flatMap((kind) => [
      [`stored_per_second_${kind}`, `${kind} stored/s`],
      [`stored_per_second_${kind}_${MANY_POINTS}_points`, `${MANY_POINTS} points`],
      [`newest_1000_ms_${kind}`, "newest 1,000 ms"],
      [`aggregate_ms_${kind}`, "sum of 1 M ms"],
    ]),
  ),
  compared: {},
  goals: [
    ...Object.entries(KINDS).flatMap(([kind, { atLeast }]) =>
      ["", `_${MANY_POINTS}_points`].map((suffix) => ({
        name: `stores.${kind}${suffix}`,
        what: `readings that ${kind} has stored per second${suffix === "" ? "" : `, of ${MANY_POINTS} points`}`,
        atLeast,
        value: (figure: (system: string, figure: string) => number | undefined) =>
          figure(SUBJECT, `stored_per_second_${kind}${suffix}`),
      })),
    ),
    {
      name: "stores.sqlite_newest",
      what: `the newest 1,000 of a point out of ${READINGS / 1e6} M readings in SQLite, ms`,
      atMost: 10,
      value: (figure) => figure(SUBJECT, "newest_1000_ms_sqlite"),
    },
    {
      name: "stores.sqlite_aggregate",
      what: "sum of 1 M readings in SQLite, ms",
      atMost: 300,
      value: (figure) => figure(SUBJECT, "aggregate_ms_sqlite"),
    },
  ],
  cases: ({ systems }) =>
    systems
      .filter(({ name }) => name === SUBJECT)
      .flatMap((system) =>
        Object.entries(KINDS).flatMap(([kind, { open }]): Case[] => {
          const start = { connections: 0 };
          return [
            {
              system,
              suffix: kind,
              start,
              open,
              measure: async (running) => {
                const { store } = running as StoreRig;
                const writes = await measureWrites(store, FEW_POINTS, READINGS);
                return { ...writes, ...(await measureQueries(store, FEW_POINTS, READINGS)) };
              },
            },
            {
              system,
              suffix: `${kind}_${MANY_POINTS}_points`,
              start,
              open,
              measure: (running) => measureWrites((running as StoreRig).store, MANY_POINTS, SPREAD_READINGS),
            },
          ];
        }),
      ),
};
