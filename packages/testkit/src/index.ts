export { makeCertificate, type TestCertificate } from "./certificates.js";
export { findProgram, findTool } from "./environment.js";
export { freePort, freePorts, isPortFree } from "./ports.js";
export {
  ManagedProcess,
  type ProcessExit,
  type ProcessOptions,
  startProcess,
} from "./process/managed-process.js";
export type { ReadyCheck } from "./process/ready.js";
export { sourceArguments } from "./process/source-arguments.js";
export { type Lack, type Requirement, requires } from "./requires.js";
export {
  type LineFault,
  SerialLine,
  type SerialLineOptions,
  startSerialLine,
} from "./serial/serial-line.js";
export { startInfluxdb } from "./servers/influxdb.js";
export {
  LIBMODBUS_HEADER,
  type LibmodbusLine,
  type LibmodbusServer,
  startLibmodbus,
} from "./servers/libmodbus.js";
export { type MariadbOptions, startMariadb } from "./servers/mariadb.js";
export { type MosquittoOptions, startMosquitto } from "./servers/mosquitto.js";
export { type NatsOptions, type NatsServer, natsServerPath, startNats } from "./servers/nats.js";
export { type PostgresqlOptions, startPostgresql } from "./servers/postgresql.js";
export { type RedisOptions, startRedis } from "./servers/redis.js";
export type { TestServer } from "./servers/server.js";
export { type TempDir, tempDir } from "./temp-dir.js";
export { type NotYet, type WaitOptions, waitFor } from "./wait-for.js";
