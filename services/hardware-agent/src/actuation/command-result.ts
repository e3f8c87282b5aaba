/** How a command ended at the unit. Plain data, kept in the journal. */
import type { DenialReason, SampleValue } from "@myelin/profile";

/** Why a command was not begun. */
export type RejectionReason =
  | DenialReason
  | "bad_parameters"
  | "read_only"
  | "nothing_to_write"
  | "preempted"
  | "busy"
  | "not_written";

/**
 * `verified`: read back as expected. `executed`: acknowledged by the unit, and the profile names no point to read back. `mismatch`: read back, and it is another
 * value. `rejected`: certainly nothing was written. `unknown`: it may have been written, and reading back does not tell.
 */
export type CommandResult =
  | { readonly state: "verified"; readonly value: SampleValue }
  | { readonly state: "executed" }
  | { readonly state: "mismatch"; readonly expected: SampleValue; readonly value: SampleValue }
  | { readonly state: "rejected"; readonly reason: RejectionReason; readonly message: string }
  | { readonly state: "expired" }
  | { readonly state: "unknown"; readonly message: string };
