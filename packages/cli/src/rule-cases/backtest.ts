/** Runs a rule over what was stored of one device, by the engine that a dispatcher has. */
import { history } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import { type PointValue, type Rule, RuleEngine } from "@myelin/rules";

/** One time that the rule would have fired. */
export interface WouldFire {
  readonly device: string;
  readonly atMs: number;
  /** Absent: it had not ended by the end of what was read, or nothing ends because the rule fires each time. */
  readonly endedMs?: number | undefined;
  readonly values: Readonly<Record<string, unknown>>;
}

/** Rules that are asked about anything but readings cannot be asked about a history. @throws AppError `config.invalid` */
export function assertBacktests({ name, spec: { trigger } }: Rule): void {
  if (trigger.points !== undefined || trigger.absence !== undefined) return;
  const [kind = "nothing"] = Object.keys(trigger);
  throw new AppError("config.invalid", `rule ${name}: spec.trigger.${kind}: a history has readings only`);
}

/** The only point whose readings matter to the rule; undefined: there are several, or any message counts. */
export function onlyPointOf({ spec: { trigger }, sources }: Rule): string | undefined {
  if (trigger.absence !== undefined && trigger.absence.points === undefined) return undefined;
  const points = new Set([...(trigger.points ?? []), ...(trigger.absence?.points ?? [])]);
  for (const source of sources.values()) {
    let of = source;
    while (of.kind !== "point" && of.kind !== "field") of = of.of;
    if (of.kind === "point") points.add(of.point);
  }
  return points.size === 1 ? [...points][0] : undefined;
}

/** Takes the readings of one device, the oldest first, in pieces of any size. Keeps one firing at a time. */
export class Backtest {
  readonly #engine: RuleEngine;
  readonly #speaker: { readonly tenant: string; readonly device: string; readonly profile: string };
  #open: WouldFire | undefined;
  #message: PointValue[] = [];
  #timeUs = 0;
  #path = "";

  /** @param onFiring told of a firing when it has ended, or at the end */
  constructor(
    rule: Rule,
    speaker: { readonly tenant: string; readonly device: string; readonly profile: string },
    private readonly onFiring: (firing: WouldFire) => void,
  ) {
    this.#speaker = speaker;
    this.#engine = new RuleEngine({
      maxDevices: 1,
      onFiring: ({ state, atMs, values }) => {
        if (state === "cleared") this.#close(atMs);
        else {
          this.#close();
          this.#open = { device: speaker.device, atMs, values };
          if (state === "fired") this.#close();
        }
      },
    });
    this.#engine.setRules([rule]);
  }

  take(readings: readonly history.Reading[]): void {
    for (const reading of readings) {
      // Readings of one message stand together: rules over two points see both of them at once.
      if (reading.timeUs !== this.#timeUs || reading.path !== this.#path) {
        this.#flush();
        this.#timeUs = reading.timeUs;
        this.#path = reading.path;
      }
      this.#message.push({ point: reading.point, value: heldBy(reading) });
    }
  }

  /** Time goes on to the end of what was asked for. */
  end(toMs: number): void {
    this.#flush();
    this.#engine.advance(toMs);
    this.#close();
  }

  #flush(): void {
    if (this.#message.length === 0) return;
    const atMs = this.#timeUs / 1_000;
    this.#engine.advance(atMs);
    const occasion = { ...this.#speaker, topic: this.#path, atMs, isReplayed: false };
    this.#engine.samples(occasion, this.#message);
    this.#message = [];
  }

  #close(endedMs?: number): void {
    const open = this.#open;
    if (open === undefined) return;
    this.#open = undefined;
    this.onFiring({ ...open, endedMs });
  }
}

function heldBy({ quality, value }: history.Reading): PointValue["value"] {
  if (quality !== history.Quality.GOOD || value === undefined) return null;
  if (value.$case === "bytes") return null;
  if (value.$case !== "json") return value.value;
  try {
    const list: unknown = JSON.parse(value.value);
    return Array.isArray(list) && list.every(Number.isFinite) ? list : null;
  } catch {
    // Whatever was stored is no list of numbers, so that the point is not known.
    return null;
  }
}
