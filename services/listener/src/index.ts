/** The listener: holds device connections and turns bytes into envelopes and back. */
export type {
  Admission,
  ConnectVerdict,
  Credentials,
  Identity,
} from "./core/admission.js";
export type { ProtocolContext, ProtocolPlugin, ProtocolPort, ProtocolRegistry } from "./core/protocol.js";
export { protocols } from "./protocols/registry.js";
