/** What a Device on Modbus may set, beyond where its points are. */
import { durationMs, type Infer, integer, object, oneOf, optional } from "@myelin/config";

/** The same for both framings. */
export const modbusSettings = object({
  timeout: optional(
    durationMs({
      description: "Longest silence of this unit after a request; left out, that of its Bus.",
      min: "5ms",
      max: "60s",
    }),
  ),
  wait: durationMs({
    description:
      "Longest wait of a request for its turn on the line; a read that has waited so long is a bad sample.",
    default: "5s",
    min: "10ms",
    max: "10m",
  }),
  maxRegisters: integer({
    description: "Most registers in one request; some units take fewer than the standard's 125.",
    default: 125,
    minimum: 1,
    maximum: 125,
  }),
  maxBits: integer({
    description: "Most coils or discrete inputs in one request.",
    default: 2000,
    minimum: 1,
    maximum: 2000,
  }),
  maxGap: integer({
    description:
      "Registers or coils between two points that are read and thrown away where that saves a request; units that refuse addresses without a meaning need 0.",
    default: 0,
    minimum: 0,
    maximum: 124,
  }),
  writes: oneOf(["single", "multiple"], {
    description:
      "How one register or coil is written: by functions 5 and 6, or by 15 and 16, which some units want.",
    default: "single",
  }),
  bits: oneOf(["mask", "readModifyWrite"], {
    description:
      "How bits of a register are written: by function 22, or, for units without it, by reading the register, changing it and writing it back in one turn. What the unit itself changes in between is lost then.",
    default: "mask",
  }),
});

/** Checked and complete. */
export type ModbusSettings = Infer<typeof modbusSettings>;
