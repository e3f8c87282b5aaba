/** Ways to decide who may connect and do what. Key = folder = `admission.kind` in the configuration. */

import type { Schema } from "@myelin/config";
import type { Clock, Component } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import type { Admission } from "../core/admission.js";

/** What an admission gets from outside. */
export interface AdmissionContext {
  readonly log: Logger;
  readonly clock: Clock;
}

/** What an admission's folder exports as `plugin`. */
export interface AdmissionPlugin {
  readonly kind: string;
  readonly schema: Schema;
  /** No I/O. `config` is checked, complete and frozen. */
  create(config: unknown, ctx: AdmissionContext): (Admission & Component) | Promise<Admission & Component>;
}

export type AdmissionRegistry = Record<string, () => Promise<{ readonly plugin: AdmissionPlugin }>>;

export const admissions = {
  "static-file": () => import("./static-file/index.js"),
} satisfies AdmissionRegistry;
