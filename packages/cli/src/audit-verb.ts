/** The verb for the audit log. */
import { Argument, type Command, type Option } from "commander";

/** Makes a verb as `program.ts` does. */
type Verb = <O extends { json: boolean }>(
  name: string,
  description: string,
  run: (options: O, args: string[]) => Promise<number>,
) => Command;

/** Adds `audit`. @param nats makes the option `--nats` */
export function addAuditVerb(verb: Verb, nats: () => Option): void {
  verb<import("./commands/audit.js").AuditOptions>(
    "audit",
    "see whether the log of who has commanded what is whole, and which link is the first that is not",
    async (options) => (await import("./commands/audit.js")).verifyAudit(options),
  )
    .addArgument(new Argument("[action]", "verify").choices(["verify"]).default("verify"))
    .addOption(nats());
}
