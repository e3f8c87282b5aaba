/** The hardware-agent: drives the hardware of one edge node. */
export type { ActuatedDevice, WritePriority } from "./actuation/actuated-device.js";
export { Actuator, type CommandOrder } from "./actuation/actuator.js";
export { CommandJournal, type JournalLimits } from "./actuation/command-journal.js";
export type { CommandResult, RejectionReason } from "./actuation/command-result.js";
export { type AgentConfig, agentSchema } from "./config.js";
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
export { hardwareAgentService } from "./hosted.js";
export { samplesPath } from "./hub/event-uplink.js";
export { agentMetricsList } from "./metrics.js";
export { diskFolder, type Folder, type FolderEntry, type FolderFile } from "./outbox/folder.js";
export { Outbox, type OutboxCounters, type OutboxLimits } from "./outbox/outbox.js";
export type { OutboxRecord, Uplink } from "./outbox/uplink.js";
export { type AgentDependencies, type AgentService, createAgent } from "./service.js";
