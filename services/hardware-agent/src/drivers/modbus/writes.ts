/** A value on its way to a unit, as a request. */
import type { PlannedWrite } from "../adapter.js";
import type { ModbusAddress } from "./address.js";
import { encodeRequest, type ModbusRequest } from "./pdu.js";
import type { ModbusSettings } from "./settings.js";
import { encodeRegisters } from "./values.js";

/** The bits of a register that are to change, where the unit cannot do that itself. */
export interface BitChange {
  readonly address: number;
  readonly mask: number;
  readonly bits: number;
}

/** A request; or what has to be read first; or why the value cannot be written there. */
export type WritePlan =
  | { readonly pdu: Uint8Array }
  | { readonly change: BitChange }
  | { readonly refused: string };

/** How the value is written; pure, and exact: nothing is rounded or cut. */
export function planWrite(
  { address, value }: Pick<PlannedWrite<ModbusAddress>, "address" | "value">,
  settings: ModbusSettings,
): WritePlan {
  if (address.table === "discrete" || address.table === "input") {
    return { refused: `a ${address.table} can only be read` };
  }
  const raw = typeof value === "boolean" ? Number(value) : value;
  if (address.type === "coil") {
    if (raw !== 0 && raw !== 1) return { refused: "a coil takes true and false only" };
    const single = settings.writes === "single";
    return plan(
      single
        ? { fn: 5, address: address.address, on: raw === 1 }
        : { fn: 15, address: address.address, bits: Uint8Array.of(raw) },
    );
  }
  if (address.type === "bit" || address.type === "field") return planBits(address, raw, settings);
  const registers = encodeRegisters(address.type, address.order, raw, address.bytes);
  if (registers === undefined) return { refused: `a ${address.type} does not hold this value` };
  const single = registers.length === 1 && settings.writes === "single";
  return plan(
    single
      ? { fn: 6, address: address.address, value: registers[0] as number }
      : { fn: 16, address: address.address, registers },
  );
}

function planBits(
  { address, low, high, order }: ModbusAddress,
  value: unknown,
  settings: ModbusSettings,
): WritePlan {
  const most = 2 ** (high - low + 1) - 1;
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > most) {
    return { refused: `bits ${low} to ${high} take whole numbers from 0 to ${most}` };
  }
  const swap = order === "badc" || order === "dcba";
  const mask = swapped(most << low, swap);
  const bits = swapped(value << low, swap);
  if (settings.bits === "readModifyWrite") return { change: { address, mask, bits } };
  return plan({ fn: 22, address, andMask: ~mask & 0xffff, orMask: bits });
}

function swapped(word: number, swap: boolean): number {
  return swap ? ((word & 0xff) << 8) | (word >> 8) : word;
}

function plan(request: ModbusRequest): WritePlan {
  return { pdu: encodeRequest(request) };
}
