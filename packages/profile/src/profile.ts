/** A device profile, compiled. */
import type { CommandSpec, DeviceProfileSpec, PointSpec } from "@myelin/config";
import { Decoder, type ProfiledMessage } from "./decoder.js";
import type { VariableType } from "./expression.js";
import { SafetyEnvelope } from "./safety.js";
import type { Sample } from "./sample.js";

/** Waveforms have none: an expression that walks through one takes too long. */
const VARIABLE_TYPES: Readonly<Record<PointSpec["type"], VariableType | undefined>> = {
  number: "double",
  integer: "double",
  boolean: "bool",
  string: "string",
  waveform: undefined,
};

/** One command of a profile; no safety envelope: nothing beyond its parameters is asked. */
export interface ProfileCommand {
  readonly spec: CommandSpec;
  readonly safety: SafetyEnvelope | undefined;
}

/** What a profile does, ready for use; made once per version of the resource. */
export class Profile {
  readonly commands: ReadonlyMap<string, ProfileCommand>;
  readonly #decoder: Decoder;

  /** @throws AppError `expression.invalid` */
  constructor(
    readonly name: string,
    readonly spec: DeviceProfileSpec,
  ) {
    const variables: Record<string, VariableType> = {};
    for (const [point, { type }] of Object.entries(spec.points)) {
      const variable = VARIABLE_TYPES[type];
      if (variable !== undefined) variables[point] = variable;
    }
    this.commands = new Map(
      Object.entries(spec.commands).map(([command, own]) => {
        const safety = own.safety === undefined ? undefined : new SafetyEnvelope(own.safety, variables);
        return [command, { spec: own, safety }];
      }),
    );
    this.#decoder = new Decoder(spec);
  }

  /** Whether messages with this path have samples. */
  reads(path: string): boolean {
    return this.#decoder.reads(path);
  }

  /** The samples in one message; undefined when the profile has no payload for its path. Never throws. */
  decode(message: ProfiledMessage): readonly Sample[] | undefined {
    return this.#decoder.decode(message);
  }
}
