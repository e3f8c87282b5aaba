/** Coalesces the points of a unit into few requests. Pure. */
import type { PlannedPoint, PlannedRead } from "../adapter.js";
import type { ModbusAddress, ModbusTable } from "./address.js";
import { LIMIT } from "./functions.table.js";
import { encodeRequest } from "./pdu.js";
import type { ValueRun } from "./values.js";

/** A request, ready to be sent, and what its reply means. */
export interface ModbusRead extends PlannedRead {
  readonly pdu: Uint8Array;
  readonly runs: readonly ValueRun[];
}

/** What a unit takes in one request. */
export interface ModbusLimits {
  readonly maxRegisters: number;
  readonly maxBits: number;
  /** Registers or bits that nobody asked for and are read and thrown away, where that saves a request. */
  readonly maxGap: number;
}

/** Bytes that the framing adds to a PDU. */
export type FramingBytes = number;

const READ_FUNCTION: Readonly<Record<ModbusTable, 1 | 2 | 3 | 4>> = {
  coil: 1,
  discrete: 2,
  holding: 3,
  input: 4,
};

/**
 * As few requests as table, interval and limits allow; each point in exactly one. Where a value is longer than
 * `maxRegisters` it has a request of its own and the unit may refuse it.
 */
export function planModbus(
  points: readonly PlannedPoint<ModbusAddress>[],
  limits: ModbusLimits,
  framing: FramingBytes,
): readonly ModbusRead[] {
  const groups = new Map<string, PlannedPoint<ModbusAddress>[]>();
  for (const point of points) {
    const key = `${point.address.table}/${point.intervalMs}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [point]);
    else group.push(point);
  }
  return [...groups.values()].flatMap((group) =>
    blocksOf(group, limits).map((block) => readOf(block, framing)),
  );
}

function blocksOf(
  group: readonly PlannedPoint<ModbusAddress>[],
  limits: ModbusLimits,
): PlannedPoint<ModbusAddress>[][] {
  const sorted = [...group].sort((a, b) => a.address.address - b.address.address || a.number - b.number);
  const isBits = sorted[0]?.address.size === 1 && sorted[0].address.type === "coil";
  const most = isBits
    ? Math.min(limits.maxBits, LIMIT.readBits)
    : Math.min(limits.maxRegisters, LIMIT.readRegisters);
  const blocks: PlannedPoint<ModbusAddress>[][] = [];
  let start = 0;
  let end = 0;
  for (const point of sorted) {
    const { address, size } = point.address;
    const block = blocks.at(-1);
    const fits = block !== undefined && address <= end + limits.maxGap && address + size - start <= most;
    if (fits) block.push(point);
    else {
      blocks.push([point]);
      start = address;
      end = address;
    }
    end = Math.max(end, address + size);
  }
  return blocks;
}

function readOf(block: readonly PlannedPoint<ModbusAddress>[], framing: FramingBytes): ModbusRead {
  const { table, address } = (block[0] as PlannedPoint<ModbusAddress>).address;
  const end = block.reduce((most, { address: at }) => Math.max(most, at.address + at.size), 0);
  const quantity = end - address;
  const isBits = table === "coil" || table === "discrete";
  const dataBytes = isBits ? (quantity + 7) >> 3 : 2 * quantity;
  return {
    points: Uint32Array.from(block, ({ number }) => number),
    requestBytes: 5 + framing,
    responseBytes: 2 + dataBytes + framing,
    intervalMs: (block[0] as PlannedPoint<ModbusAddress>).intervalMs,
    pdu: encodeRequest({ fn: READ_FUNCTION[table], address, quantity }),
    runs: runsOf(block, address, isBits),
  };
}

function runsOf(block: readonly PlannedPoint<ModbusAddress>[], start: number, isBits: boolean): ValueRun[] {
  const runs: (ValueRun & { count: number })[] = [];
  let next = -1;
  block.forEach(({ address: at }, first) => {
    const offset = (at.address - start) * (isBits ? 1 : 2);
    const last = runs.at(-1);
    const mask = at.type === "bit" || at.type === "field" ? 2 ** (at.high - at.low + 1) - 1 : -1;
    const goesOn =
      last !== undefined &&
      offset === next &&
      last.type === at.type &&
      last.order === at.order &&
      last.low === at.low &&
      last.mask === mask &&
      at.type !== "string";
    if (goesOn) last.count += 1;
    else
      runs.push({
        type: at.type,
        order: at.order,
        offset,
        count: 1,
        first,
        low: at.low,
        mask,
        bytes: at.bytes,
      });
    next = offset + at.size * (isBits ? 1 : 2);
  });
  return runs;
}
