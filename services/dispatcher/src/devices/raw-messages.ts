/** Which devices may be sent messages that are no commands of the ladder. */
import { AppError } from "@myelin/kernel";
import type { DeviceProfiles } from "./device-profiles.js";

/**
 * Why a message from outside the platform is not given to a device; undefined: it may go. A device with a command that is held to a
 * safety envelope gets nothing past it: what such a message would move, nobody here can tell.
 */
export function rawMessageRefusal(
  profiles: Pick<DeviceProfiles, "of">,
  tenant: string,
  device: string,
): AppError | undefined {
  const profile = profiles.of(tenant, device);
  if (profile === undefined) return undefined;
  if (profile === "unknown") {
    return new AppError("partition.not_owned", `the record of device ${device} is still being read`);
  }
  const held = [...profile.commands].find(([, { safety }]) => safety !== undefined);
  if (held === undefined) return undefined;
  return new AppError(
    "command.denied",
    `device ${device} is held to the safety envelope of profile ${profile.name}: send it a command of that profile, such as ${held[0]}, instead of a message`,
    { details: { device, profile: profile.name } },
  );
}
