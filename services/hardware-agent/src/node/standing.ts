/** How buses and devices stand, as `myelin get` tells it. */
import type { ResourceCondition, ResourceFigures } from "@myelin/service-host";
import type { Agent, DeviceStanding } from "./agent.js";
import type { Line } from "./line.js";

const MOST_NAMED = 20;

type Word = Pick<ResourceCondition, "type" | "status" | "reason" | "message">;

/** Remembers since when each condition has been as it is. */
export class Standing {
  readonly #since = new Map<
    string,
    { readonly status: ResourceCondition["status"]; readonly sinceMs: number }
  >();

  constructor(
    private readonly agent: Agent,
    private readonly wallMs: () => number,
  ) {}

  conditions(): readonly ResourceCondition[] {
    const { lines, standings, busErrors } = this.agent;
    const said: ResourceCondition[] = [];
    for (const [name, line] of lines)
      for (const word of ofLine(line)) said.push(this.#say("Bus", name, line.generation, word));
    for (const [name, error] of busErrors)
      said.push(
        this.#say("Bus", name, 0, {
          type: "Ready",
          status: false,
          reason: error.code,
          message: error.message,
        }),
      );
    for (const standing of standings)
      for (const word of ofDevice(standing))
        said.push(this.#say("Device", standing.name, standing.generation, word));
    return said;
  }

  figures(): readonly ResourceFigures[] {
    return this.agent.standings.flatMap(({ name, unit }) => {
      if (unit === undefined) return [];
      const { reads, failures, late, samples } = unit.counters;
      return [{ kind: "Device", name, figures: { reads, failures, lateReads: late, samples } }];
    });
  }

  #say(kind: string, name: string, generation: number, word: Word): ResourceCondition {
    const key = `${kind}/${name}/${word.type}`;
    const before = this.#since.get(key);
    const sinceMs = before?.status === word.status ? before.sinceMs : this.wallMs();
    this.#since.set(key, { status: word.status, sinceMs });
    return { kind, name, generation, sinceMs, ...word };
  }
}

function ofLine({ error, fit, unread }: Line): readonly Word[] {
  const ready: Word =
    error === undefined
      ? { type: "Ready", status: true, reason: "InForce", message: "" }
      : { type: "Ready", status: false, reason: error.code, message: error.message };
  const named = unread.slice(0, MOST_NAMED).join(", ");
  const more = unread.length > MOST_NAMED ? ` and ${unread.length - MOST_NAMED} more` : "";
  const plan: Word =
    unread.length === 0
      ? {
          type: "PlanFits",
          status: true,
          reason: "Fits",
          message: `${Math.round(fit.share * 100)} % of the line`,
        }
      : {
          type: "PlanFits",
          status: false,
          reason: "TooMuch",
          message: `${fit.advice}. Not read: ${named}${more}`,
        };
  return [ready, plan];
}

function ofDevice({ error, unit, line }: DeviceStanding): readonly Word[] {
  if (error !== undefined) {
    const kept = unit === undefined ? "" : "; an earlier version is in force";
    return [{ type: "Ready", status: false, reason: error.code, message: error.message + kept }];
  }
  if (unit === undefined) return [{ type: "Ready", status: true, reason: "Off", message: "" }];
  const { health, hasAnswered, trouble } = unit;
  const down = line?.error;
  if (down !== undefined) return [notReady(down.code, down.message), degraded(down.code, down.message)];
  if (health.isDegraded) return [notReady("NoReply", trouble), degraded("NoReply", trouble)];
  if (!hasAnswered && unit.device.reads.length > 0)
    return [{ type: "Ready", status: "unknown", reason: "NotAsked", message: trouble }];
  return [{ type: "Ready", status: true, reason: "InForce", message: trouble }];
}

const notReady = (reason: string, message: string): Word => ({
  type: "Ready",
  status: false,
  reason,
  message,
});
const degraded = (reason: string, message: string): Word => ({
  type: "Degraded",
  status: true,
  reason,
  message,
});
