/** Every resource kind: one line each. Key = `kind` of the document. */
import { appServiceKind } from "./app-service.js";
import { bridgeKind } from "./bridge.js";
import { busKind } from "./bus.js";
import { deviceKind } from "./device.js";
import { deviceProfileKind } from "./device-profile.js";
import { flowKind } from "./flow.js";
import type { AnyKind } from "./kind.js";
import { routeKind } from "./route.js";
import { ruleKind } from "./rule.js";
import { sinkKind } from "./sink.js";

type KindRegistry = Readonly<Record<string, AnyKind>>;

/** The kinds that resources may have; a kind that is not here is refused. */
export const kinds = {
  AppService: appServiceKind,
  Bridge: bridgeKind,
  Bus: busKind,
  Device: deviceKind,
  DeviceProfile: deviceProfileKind,
  Flow: flowKind,
  Route: routeKind,
  Rule: ruleKind,
  Sink: sinkKind,
} satisfies KindRegistry;
