/** For tools that bring devices in and out as text: nothing of the listener itself is loaded with it. */
export {
  type ImportReport,
  importDevices,
  type RefusedLine,
  refusedJson,
} from "./device-lines/import.js";
export { type DeviceFormat, readDevices } from "./device-lines/read.js";
export { deviceText } from "./device-lines/write.js";
