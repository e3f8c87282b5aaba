/** What the commands of a partition need of the world around them. */
import type { command as wire } from "@myelin/contract";
import type { Clock } from "@myelin/kernel";
import type { Profile } from "@myelin/profile";
import type { CoreLog } from "../core/ports.js";
import type { JournalWriter } from "../journal/journal.js";
import type { CommandBook } from "./book.js";
import type { LatestSamples } from "./latest-samples.js";
import type { CommandMeters } from "./metrics.js";

/** How far a message for a device came. */
export type Handed = "acknowledged" | "written";

/** The way to the devices of a partition. */
export interface DeviceLink {
  isConnected(tenant: string, device: string): boolean;
  /** @throws AppError what the listener says; `hasLeftUs` tells which ones leave open whether the device has it */
  give(command: wire.Command): Promise<Handed>;
}

export interface ShardOptions {
  readonly book: CommandBook;
  readonly journal: JournalWriter<wire.JournalRecord>;
  readonly link: DeviceLink;
  readonly samples: LatestSamples;
  readonly clock: Clock;
  readonly log: CoreLog;
  /** "unknown" while the records of devices are being read. */
  profileOf(tenant: string, device: string): Profile | "unknown" | undefined;
  readonly meters: CommandMeters;
  /** Told of what an audit must hold. */
  audit(entry: AuditEntry): void;
  /** Resolves when all that was told so far is stored. */
  audited(): Promise<void>;
}

/** What somebody has done, or has tried to do. */
export interface AuditEntry {
  readonly action: "accepted" | "denied" | "overridden" | "cancelled" | "ended";
  readonly command: Pick<wire.Command, "id" | "tenant" | "device" | "name" | "parameters" | "overrideReason">;
  readonly author: wire.Author | undefined;
  readonly message: string;
}
