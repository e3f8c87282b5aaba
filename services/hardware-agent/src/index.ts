/** The hardware-agent: drives the hardware of one edge node. */
export type {
  AnyDriver,
  Driver,
  HardwareAdapter,
  PlannedPoint,
  PlannedRead,
  PlannedWrite,
  ReadOutcome,
  WriteOutcome,
} from "./drivers/adapter.js";
