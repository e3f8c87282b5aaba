/** How places in a unit are written: `holding:100`, `4x00101/float32/cdab`, `input:7.3`, `coil:12`. */
import type { PointSpec } from "@myelin/config";
import { AppError } from "@myelin/kernel";
import { BYTE_ORDERS, type ByteOrder, type ModbusType, REGISTERS_OF } from "./values.js";

/** The four tables of a unit. */
export type ModbusTable = "coil" | "discrete" | "input" | "holding";

/** A place in a unit, and how its value lies there. */
export interface ModbusAddress {
  readonly table: ModbusTable;
  /** As it stands in frames: from 0. */
  readonly address: number;
  readonly type: ModbusType;
  readonly order: ByteOrder;
  /** Registers, or bits of a coil table. */
  readonly size: number;
  /** Of `bit` and `field`: the lowest and the highest bit. */
  readonly low: number;
  readonly high: number;
  /** Of `string`. */
  readonly bytes: number;
}

const REFERENCE_TABLES: Readonly<Record<string, ModbusTable>> = {
  "0": "coil",
  "1": "discrete",
  "3": "input",
  "4": "holding",
};

const GRAMMAR =
  /^(?:(?<table>coil|discrete|input|holding):(?<place>\d{1,5})|(?<digit>[0134])x(?<number>\d{1,5})|(?<reference>[0134]\d{4,5}))(?:\.(?<low>\d{1,2})(?:-(?<high>\d{1,2}))?)?(?:\/(?<type>[a-z]+\d{0,2}))?(?::(?<bytes>\d{1,3}))?(?:\/(?<order>[a-d]{4}))?$/;

const SHAPE =
  "a place such as holding:100 (from 0) or 4x00101 (the same register, as references count from 1), then if needed .bit or .low-high, /type, /order: holding:100/float32/cdab";

const TYPES = ["int16", "uint16", "int32", "uint32", "float32", "int64", "uint64", "float64", "string"];

/**
 * Reads a place.
 * @throws AppError `hardware.bad_address` with the rule, also where a point of this type cannot lie there.
 */
export function parseModbusAddress(text: string, point: Pick<PointSpec, "type">): ModbusAddress {
  const groups = GRAMMAR.exec(text.trim())?.groups;
  if (groups === undefined) throw bad(text, SHAPE);
  const { table, address } = placeOf(text, groups);
  if (table === "coil" || table === "discrete") return bitAddress(text, groups, table, address, point);
  const order = (groups.order ?? "abcd") as ByteOrder;
  if (!BYTE_ORDERS.includes(order)) throw bad(text, `a byte order of ${BYTE_ORDERS.join(", ")}`);
  const word = groups.type;
  if (word !== undefined && !TYPES.includes(word)) throw bad(text, `a type of ${TYPES.join(", ")}`);
  if (groups.low !== undefined) return fieldAddress(text, groups, table, address, order, point);
  const type = (word ?? (point.type === "string" ? "string" : "uint16")) as ModbusType;
  const bytes = groups.bytes === undefined ? 0 : Number(groups.bytes);
  if ((type === "string") !== (point.type === "string")) {
    throw bad(text, `a type that holds a ${point.type}, which ${type} does not`);
  }
  if (type === "string" && !(bytes >= 1 && bytes <= 250)) {
    throw bad(text, "the length of a text in bytes, 1 to 250, such as holding:100/string:16");
  }
  if (type !== "string" && groups.bytes !== undefined) throw bad(text, "a length only behind /string");
  const size = type === "string" ? (bytes + 1) >> 1 : REGISTERS_OF[type as keyof typeof REGISTERS_OF];
  if (address + size > 65_536)
    throw bad(text, `a value that ends at register 65535 or before, not one of ${size} registers`);
  return { table, address, type, order, size, low: 0, high: 15, bytes };
}

function placeOf(
  text: string,
  groups: Record<string, string | undefined>,
): { table: ModbusTable; address: number } {
  if (groups.table !== undefined) {
    const address = Number(groups.place);
    if (address > 65_535) throw bad(text, "a register from 0 to 65535");
    return { table: groups.table as ModbusTable, address };
  }
  const digit = groups.digit ?? (groups.reference as string).slice(0, 1);
  const number = Number(groups.number ?? (groups.reference as string).slice(1));
  if (number < 1 || number > 65_536)
    throw bad(text, "a reference from 1 to 65536: references count from 1, frames from 0");
  return { table: REFERENCE_TABLES[digit] as ModbusTable, address: number - 1 };
}

function bitAddress(
  text: string,
  groups: Record<string, string | undefined>,
  table: "coil" | "discrete",
  address: number,
  point: Pick<PointSpec, "type">,
): ModbusAddress {
  if (
    groups.low !== undefined ||
    groups.type !== undefined ||
    groups.order !== undefined ||
    groups.bytes !== undefined
  ) {
    throw bad(text, `a ${table} without bit, type, length or order: it is one bit already`);
  }
  if (point.type === "string") throw bad(text, `registers: a ${table} holds no text`);
  return { table, address, type: "coil", order: "abcd", size: 1, low: 0, high: 0, bytes: 0 };
}

function fieldAddress(
  text: string,
  groups: Record<string, string | undefined>,
  table: ModbusTable,
  address: number,
  order: ByteOrder,
  point: Pick<PointSpec, "type">,
): ModbusAddress {
  const low = Number(groups.low);
  const high = Number(groups.high ?? groups.low);
  if (high > 15 || low > high) throw bad(text, "bits from 0, the lowest, to 15, the lower end first");
  if (groups.bytes !== undefined || (groups.type !== undefined && groups.type !== "uint16")) {
    throw bad(text, "bits of a single register, without a type");
  }
  if (point.type === "string") throw bad(text, "a /string: bits hold no text");
  if (point.type === "boolean" && low !== high) throw bad(text, "one bit for a boolean");
  const type = low === high ? "bit" : "field";
  return { table, address, type, order, size: 1, low, high, bytes: 0 };
}

function bad(text: string, rule: string): AppError {
  return new AppError("hardware.bad_address", `"${text}" is no Modbus address: give ${rule}`, {
    details: { value: text, rule },
  });
}

/**
 * Reads a unit.
 * @throws AppError `hardware.bad_address` for what is no number from `least` to `most`.
 */
export function parseModbusUnit(text: string | undefined, standard: number, most: number): number {
  if (text === undefined) return standard;
  const unit = /^\d{1,3}$/.test(text.trim()) ? Number(text) : Number.NaN;
  if (unit >= 0 && unit <= most) return unit;
  const rule = `a number from 1 to ${most}, or 0 for all units at once, which can only be written to`;
  throw new AppError("hardware.bad_address", `"${text}" is no Modbus unit: give ${rule}`, {
    details: { value: text, rule },
  });
}
