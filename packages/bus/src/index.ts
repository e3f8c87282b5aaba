/** The bus: NATS behind interfaces that the services use. */
export { type AlarmWatchOptions, MAX_WATCHED_ALARMS, watchAlarms } from "./alarm-watch.js";
export {
  ALARM_SEVERITIES,
  ALARM_STATES,
  AlarmClient,
  type AlarmFilter,
  type AlarmRecord,
  type AlarmSeverity,
  type AlarmState,
  alarmJson,
} from "./alarms.js";
export type * from "./api.js";
export {
  type AgentFacts,
  AppClient,
  type AppFacts,
  agentJson,
  appJson,
  type InstanceFacts,
} from "./apps.js";
export {
  type AuditChain,
  type AuditFault,
  auditHash,
  verifyAuditChain,
  verifyAuditLog,
} from "./audit-chain.js";
export { type BulkOutcome, type BulkWish, commandGroup } from "./bulk-commands.js";
export { sentAccounts } from "./counters.js";
export {
  type CommandAuthor,
  type CommandFilter,
  type CommandRisk,
  type CommandState,
  type CommandStep,
  type CommandWait,
  type CommandWish,
  commandFromWire,
  commandJson,
  commandStepJson,
  type DeviceCommand,
  DeviceCommandClient,
  hasReached,
  isNewer,
} from "./device-commands.js";
export {
  type DeviceFields,
  type DevicePresence,
  type DeviceRecord,
  deviceFields,
  deviceJson,
} from "./device-record.js";
export {
  type DeviceChange,
  type DeviceList,
  type DeviceOutcome,
  type DevicePage,
  DeviceRegistryClient,
  MAX_CONDITIONS,
} from "./device-registry.js";
export {
  type AwaitedMessage,
  type FlowAuthor,
  FlowClient,
  type FlowFailure,
  type FlowInfo,
  type FlowRun,
  type FlowRunFilter,
  type FlowRunStatus,
  type FlowStep,
  type FlowTask,
  type FlowWish,
  flowPartition,
  flowRunJson,
  isNewerRun,
} from "./flow-runs.js";
export { createHeartbeat, createLiveness } from "./heartbeat.js";
export { closeBooks, LedgerKeeper, type LedgerKeeperOptions } from "./ledger-keeper.js";
export { closeByLinks } from "./ledger-links.js";
export { createLinkAcker, type LinkAckerOptions } from "./link-acker.js";
export { createLinkReader } from "./link-reader.js";
export * from "./links.js";
export { createEventConsumer, type EventConsumerOptions } from "./nats/event-consumer.js";
export { createEventSender } from "./nats/event-transport.js";
export { type ExternalMessage, type ExternalSubjects, externalSubjects } from "./nats/external-subjects.js";
export { createFencedLog, type FencedLog } from "./nats/fenced-log.js";
export { type BucketSpec, openKeyValue } from "./nats/key-value.js";
export { createLatestLog, type LatestEntry, type LatestLog, MAX_LATEST_ENTRIES } from "./nats/latest-log.js";
export { type BusCredentials, type BusOptions, createBus } from "./nats/nats-bus.js";
export { createNamedLeases, createPartitionOwner } from "./nats/owner.js";
export { createStreamDoor, type StreamDoor, type StreamRoom } from "./nats/stream-door.js";
export { createStreamWriter } from "./nats/stream-writer.js";
export {
  deploymentPartitions,
  type EnsureStreamsOptions,
  ensureStreams,
  type StreamOverrides,
} from "./nats/streams.js";
export { createSubjectLog, type LogEntry, type SubjectLog } from "./nats/subject-log.js";
export { OrderedCalls, type OrderedCallsOptions, OrderedCallsReader } from "./ordered-calls.js";
export { clearRetained, listRetained, type RetainedFacts, type RetainedList } from "./retained-messages.js";
export { SENDING_HOPS } from "./sender-names.js";
export {
  ShadowClient,
  type ShadowName,
  type ShadowStanding,
  type ShadowView,
  type ShadowWish,
  shadowJson,
} from "./shadow-client.js";
export { createTelemetrySender, type SenderOptions } from "./telemetry-sender.js";
