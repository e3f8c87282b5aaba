/** Modbus RTU and Modbus TCP. */

import type { ByteLink } from "../../links/link.js";
import type { AnyDriver, Driver } from "../adapter.js";
import { ModbusAdapter } from "./adapter.js";
import { type ModbusAddress, parseModbusAddress, parseModbusUnit } from "./address.js";
import { MBAP_BYTES } from "./mbap.js";
import { type ModbusRead, planModbus } from "./plan.js";
import { RtuSession } from "./rtu-session.js";
import { type ModbusSettings, modbusSettings } from "./settings.js";
import { TcpSession } from "./tcp-session.js";

type ModbusDriver = Driver<number, ModbusAddress, ModbusSettings, ModbusRead>;

// Unit, and checksum.
const RTU_BYTES = 3;

const rtu: ModbusDriver = {
  name: "modbus-rtu",
  // Over TCP and UDP: gateways that pass frames on as they are.
  links: ["serial", "tcp", "udp"],
  settings: modbusSettings,
  parseUnit: (text) => parseModbusUnit(text, 1, 247),
  parseAddress: parseModbusAddress,
  plan: (_, points, settings) => planModbus(points, settings, RTU_BYTES),
  open: (link, unit, settings, clock) =>
    new ModbusAdapter(RtuSession.on(link as ByteLink, clock), unit, settings, clock),
};

const tcp: ModbusDriver = {
  name: "modbus-tcp",
  links: ["tcp", "udp"],
  settings: modbusSettings,
  // 255 is what the standard wants where the connection alone says who is meant.
  parseUnit: (text) => parseModbusUnit(text, 255, 255),
  parseAddress: parseModbusAddress,
  plan: (_, points, settings) => planModbus(points, settings, MBAP_BYTES),
  open: (link, unit, settings, clock) =>
    new ModbusAdapter(TcpSession.on(link as ByteLink, clock), unit, settings, clock),
};

/** What the registry loads. */
export const drivers = [rtu, tcp] as unknown as readonly AnyDriver[];
