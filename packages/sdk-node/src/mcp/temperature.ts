/** The example of a message handler: a temperature, as JSON from those who can and in two bytes from those who must. */
import { AppError } from "@myelin/kernel";
import { MCPMessageHandler, type PayloadFormat, structuredFormat } from "./message-handler.js";

/** One reading. */
export interface Temperature {
  readonly celsius: number;
}

// Absolute zero, and the end of a signed 16-bit number of hundredths.
const MIN_CELSIUS = -273.15;
const MAX_BINARY_CELSIUS = 327.67;

/** Content type of the two-byte form. */
export const BINARY_TEMPERATURE = "application/vnd.myelin.temperature";

/**
 * Temperatures of type `temperature`. JSON: `{"celsius":21.5}`. Binary: hundredths of a degree, signed, 16 bits, big endian, as
 * many sensors send them; `08 66` is 21.50 °C.
 *
 * A device sends one, an application reads it:
 *
 *     const { type, payload, contentType } = temperature.serialize({ celsius: 21.5 });
 *     await device.send(type, payload, { contentType, lane: "event" });
 *
 *     for await (const message of app.messages()) console.log(temperature.parse(message).celsius);
 */
export const temperature = new MCPMessageHandler<Temperature>(
  "temperature",
  structuredFormat("json", checkTemperature),
  binaryFormat(),
);

function checkTemperature(value: unknown): Temperature {
  const celsius = (value as { celsius?: unknown } | null)?.celsius;
  if (typeof celsius === "number" && celsius >= MIN_CELSIUS) return { celsius };
  throw new AppError(
    "contract.bad_payload",
    "a temperature is an object with a number `celsius` above absolute zero",
  );
}

function binaryFormat(): PayloadFormat<Temperature> {
  return {
    contentType: BINARY_TEMPERATURE,
    encode({ celsius }) {
      if (!(celsius >= MIN_CELSIUS && celsius <= MAX_BINARY_CELSIUS)) {
        throw new AppError("contract.bad_payload", `${celsius} °C does not fit two bytes`);
      }
      const out = Buffer.allocUnsafe(2);
      out.writeInt16BE(Math.round(celsius * 100));
      return out;
    },
    decode(payload) {
      if (payload.length !== 2) {
        throw new AppError("contract.bad_payload", `a binary temperature has 2 bytes, not ${payload.length}`);
      }
      const hundredths = Buffer.from(payload).readInt16BE();
      return checkTemperature({ celsius: hundredths / 100 });
    },
  };
}
