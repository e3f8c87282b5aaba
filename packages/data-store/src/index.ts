export {
  type Aggregate,
  type AggregateQuery,
  type DataStore,
  type LatestQuery,
  MAX_PAGE,
  MAX_QUERY_SERIES,
  type Page,
  type RangeQuery,
  type Reading,
  type SeriesFilter,
  type TimeRange,
} from "./data-store.js";
export {
  READING_KINDS,
  READING_QUALITIES,
  ReadingBlock,
  type ReadingColumns,
  type ReadingKind,
  type ReadingQuality,
  type ReadingValue,
  toReference,
} from "./reading-block.js";
export type { InfluxdbServer } from "./stores/influxdb/http.js";
export { InfluxdbStore, type InfluxdbStoreOptions } from "./stores/influxdb/influxdb-store.js";
export type { MysqlServer } from "./stores/mysql/connections.js";
export { MysqlStore, type MysqlStoreOptions } from "./stores/mysql/mysql-store.js";
export { PostgresqlStore, type PostgresqlStoreOptions } from "./stores/postgresql/postgresql-store.js";
export { SqliteStore, type SqliteStoreOptions } from "./stores/sqlite/sqlite-store.js";
