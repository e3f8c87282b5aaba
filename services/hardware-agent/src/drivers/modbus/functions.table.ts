/** Function codes, limits and exception codes, as the Modbus Application Protocol 1.1b3 numbers them. */

/** The functions that are spoken here, by what they do. */
export const FUNCTION = {
  readCoils: 1,
  readDiscreteInputs: 2,
  readHoldingRegisters: 3,
  readInputRegisters: 4,
  writeCoil: 5,
  writeRegister: 6,
  writeCoils: 15,
  writeRegisters: 16,
  maskWriteRegister: 22,
  readWriteRegisters: 23,
  encapsulated: 43,
} as const;

/** Most of what one request may carry: bits or registers. */
export const LIMIT = {
  readBits: 2000,
  readRegisters: 125,
  writeBits: 1968,
  writeRegisters: 123,
  readWriteRegisters: 121,
} as const;

/** Sub-function 14 of function 43: device identification. */
export const MEI_DEVICE_IDENTIFICATION = 14;

/** Longest PDU: what fits into a serial frame of 256 bytes without unit and checksum. */
export const MAX_PDU_BYTES = 253;

const EXCEPTIONS: Readonly<Record<number, string>> = {
  1: "illegal_function",
  2: "illegal_data_address",
  3: "illegal_data_value",
  4: "server_device_failure",
  5: "acknowledge",
  6: "server_device_busy",
  7: "negative_acknowledge",
  8: "memory_parity_error",
  10: "gateway_path_unavailable",
  11: "gateway_target_failed_to_respond",
};

/** The name of an exception code; one that the standard does not know is `exception_<code>`. */
export function exceptionName(code: number): string {
  return EXCEPTIONS[code] ?? `exception_${code}`;
}
