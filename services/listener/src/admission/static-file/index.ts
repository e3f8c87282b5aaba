/** Users and rules out of files. */
import type { AdmissionContext } from "../registry.js";
import { type StaticFileConfig, schema } from "./config.js";
import { StaticFileAdmission } from "./static-file-admission.js";

export const plugin = {
  kind: "static-file",
  schema,
  create: (config: unknown, ctx: AdmissionContext): StaticFileAdmission =>
    new StaticFileAdmission(config as StaticFileConfig, ctx.log, ctx.clock),
};
