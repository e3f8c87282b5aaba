export { FileResourceSource, type FileSourceOptions } from "./dynamic/file-source.js";
export { generationOf } from "./dynamic/generation.js";
export {
  type CheckedResource,
  checkResource,
  type ParsedDocument,
  type ParsedFile,
  parseResources,
} from "./dynamic/parse-resources.js";
export {
  formatResourceProblem,
  type Kind,
  type Resource,
  type ResourceProblem,
  type ResourceSource,
  type ResourceState,
  type ResourceStatus,
  resourceError,
  resourcesOf,
  type Snapshot,
} from "./dynamic/resource.js";
export { type AppServiceSpec, appServiceKind } from "./kinds/app-service.js";
export { type BridgeSpec, type BridgeTopic, bridgeKind } from "./kinds/bridge.js";
export { type BusSpec, busKind } from "./kinds/bus.js";
export { customResourceDefinition } from "./kinds/crd.js";
export { type DeviceSpec, deviceKind } from "./kinds/device.js";
export {
  type CommandSpec,
  type DeviceProfileSpec,
  deviceProfileKind,
  type PointSpec,
  type WriteSpec,
} from "./kinds/device-profile.js";
export type { ProvisioningSpec } from "./kinds/device-provisioning.js";
export { DEFAULT_EDGE_NODE } from "./kinds/edge-node.js";
export { anyKindSchema, editorSchema, type JsonSchema } from "./kinds/editor-schema.js";
export { type FlowSpec, type FlowStepSpec, flowKind } from "./kinds/flow.js";
export type { FlowActionSpec, FlowSingleActionSpec } from "./kinds/flow-steps.js";
export {
  type AnyKind,
  API_VERSION,
  defineKind,
  documentSchema,
  type KindDefinition,
  type Metadata,
  type SpecOf,
} from "./kinds/kind.js";
export { API_GROUP, pluralOf, singularOf } from "./kinds/kind-names.js";
export { type PrinterColumn, printerColumns } from "./kinds/printer-columns.table.js";
export { kinds } from "./kinds/registry.js";
export { type RouteSpec, routeKind } from "./kinds/route.js";
export { type RuleSpec, type RuleValueSpec, ruleKind, type Severity } from "./kinds/rule.js";
export { type RuleActionSpec, SEVERITIES } from "./kinds/rule-actions.js";
export { firesOnce } from "./kinds/rule-check.js";
export { type SinkSpec, sinkKind } from "./kinds/sink.js";
export {
  array,
  boolean,
  bytes,
  durationMs,
  exactlyOne,
  integer,
  number,
  object,
  oneOf,
  optional,
  port,
  record,
  secret,
  secretReference,
  string,
} from "./schema/builders.js";
export {
  type CheckResult,
  checkValue,
  formatPath,
  formatValue,
  nearestName,
  type Problem,
  type ValuePath,
} from "./schema/check.js";
export type { Fields, Infer, ObjectOf, OptionalSchema, Schema } from "./schema/schema.js";
export { Secret, type SecretReference } from "./schema/secret.js";
export { parseBytes, parseDurationMs } from "./schema/units.js";
export {
  type Environment,
  environmentName,
  environmentNames,
  environmentWith,
} from "./static/environment.js";
export {
  type ConfigProblem,
  type LoadedConfig,
  type LoadOptions,
  loadConfig,
  type Override,
} from "./static/load.js";
export { type ConfigEntry, configEntries, formatConfig } from "./static/print.js";
export { settingsTable } from "./static/reference.js";
export { resolveSecret } from "./static/secrets.js";
export {
  formatYaml,
  parseYaml,
  withoutPaths,
  type YamlDocument,
  type YamlError,
  type YamlFile,
} from "./static/yaml.js";
