/** The topics that devices and the platform speak on about commands and shadows, in the form of AWS IoT: whose word they carry. */
import { AppError } from "@myelin/kernel";

const ROOT = "$aws/";
/** What a device may say itself: requests about its shadows, and answers to its commands. */
const OWN =
  /^\$aws\/(?:things\/([^/]+)\/shadow(?:\/name\/[^/]+)?\/(?:get|update|delete)|commands\/things\/([^/]+)\/executions\/[^/]+\/response(?:\/[^/]+)?)$/;

/** Whether a topic is among those that only the platform, and a device about itself, speak on. */
export function isPlatformTopic(topic: string): boolean {
  return topic.startsWith(ROOT);
}

/**
 * Whether a device may publish to a topic as far as the platform's own topics go: what tells a device to do something, or tells of a
 * shadow, is the platform's alone. A client that could say it would command devices past their safety envelopes.
 */
export function mayDeviceSay(device: string, topic: string): boolean {
  if (!isPlatformTopic(topic)) return true;
  const [, thing, commanded] = OWN.exec(topic) ?? [];
  return (thing ?? commanded) === device;
}

/** For whoever sends messages to devices by their path. @throws AppError `auth.not_authorized` */
export function expectNoPlatformTopic(path: string): void {
  if (!isPlatformTopic(path)) return;
  throw new AppError(
    "auth.not_authorized",
    `${path} belongs to commands and shadows: give a command, or set the desired state`,
  );
}
