/** One Bus in force: its line, the units on it, and whether there is time for them. */
import { type BusSpec, generationOf } from "@myelin/config";
import { AppError, type Clock } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import type { Link } from "../links/link.js";
import { links } from "../links/registry.js";
import { linkKindOf } from "../polling/check-device.js";
import { fitLine, type LineFit, lineCostOf } from "../polling/line-time.js";
import { Poller, type SampleSink } from "../polling/poller.js";
import { type CheckedDevice, Unit } from "../polling/unit.js";

interface LineContext {
  readonly clock: Clock;
  readonly log: Logger;
  readonly sink: SampleSink;
}

const NOTHING: LineFit = { share: 0, fits: [], advice: "" };

/** Opened once per version of the Bus. */
export class Line {
  readonly generation: number;
  /** Since when the line is up, or down: Unix milliseconds. */
  sinceMs: number;
  /** What the line has time for; the requests in the order of units. */
  fit: LineFit = NOTHING;
  /** Names of points that are not read, as `device.point`. */
  unread: readonly string[] = [];
  readonly #units = new Map<string, Unit>();
  readonly #poller: Poller;

  private constructor(
    readonly name: string,
    readonly bus: BusSpec,
    readonly link: Link,
    private readonly context: LineContext,
  ) {
    this.generation = generationOf(bus);
    const { clock, log, sink } = context;
    this.sinceMs = clock.wallMs();
    this.#poller = new Poller({
      link,
      clock,
      sink,
      outstanding: lineCostOf(bus).outstanding,
      retries: bus.retries,
      onChange: (unit, error) => {
        if (unit === undefined) this.sinceMs = clock.wallMs();
        const device = unit?.device.name;
        const fields = { bus: name, ...(device !== undefined && { device }) };
        if (error !== undefined)
          log.warn({ ...fields, code: error.code, problem: error.message }, "hardware does not answer");
        else log.info(fields, "hardware answers again");
      },
    });
  }

  /** Loads what opens such lines; nothing is opened yet. @throws AppError `hardware.unfit` for a sort of line that cannot be opened here */
  static async open(name: string, bus: BusSpec, context: LineContext): Promise<Line> {
    const kind = linkKindOf(bus);
    if (!Object.hasOwn(links, kind)) {
      const known = Object.keys(links).join(", ");
      throw new AppError("hardware.unfit", `spec.link: ${kind} must be one of ${known}`);
    }
    const { openLink } = await links[kind as keyof typeof links]();
    return new Line(name, bus, openLink(name, bus, context.clock), context);
  }

  /** Why the line is down. */
  get error(): AppError | undefined {
    return this.#poller.lineError;
  }

  get units(): IterableIterator<Unit> {
    return this.#units.values();
  }

  unit(device: string): Unit | undefined {
    return this.#units.get(device);
  }

  /** Drives these devices; those that have not changed keep what is known of them. */
  async apply(devices: readonly CheckedDevice[]): Promise<void> {
    const wanted = new Map(devices.map((device) => [device.name, device]));
    for (const [name, unit] of [...this.#units]) {
      if (wanted.get(name)?.version === unit.device.version) continue;
      this.#units.delete(name);
      await unit.adapter.disconnect();
    }
    for (const device of devices) {
      if (this.#units.has(device.name)) continue;
      const { driver, unit, settings } = device;
      const adapter = driver.open(this.link, unit, settings, this.context.clock);
      this.#units.set(device.name, new Unit(device, adapter));
    }
    const units = [...this.#units.values()];
    const reads = units.flatMap((unit) =>
      unit.device.reads.map((read) => ({ unit: unit.device.name, read })),
    );
    this.fit = fitLine(lineCostOf(this.bus), reads);
    let at = 0;
    const unread: string[] = [];
    const first = new Map<Unit, number>();
    for (const unit of units) {
      first.set(unit, at);
      for (const read of unit.device.reads)
        if (this.fit.fits[at++] === false)
          for (const point of read.points) unread.push(`${unit.device.name}.${unit.device.names[point]}`);
    }
    this.unread = unread;
    if (unread.length > 0)
      this.context.log.warn(
        { bus: this.name, points: unread.length, advice: this.fit.advice },
        "a line has no time for all that is to be read",
      );
    this.#poller.apply(units, (unit, read) => this.fit.fits[(first.get(unit) as number) + read] === true);
  }

  /** Ends all requests and gives the line up. */
  async stop(): Promise<void> {
    await this.#poller.stop();
    await Promise.allSettled([...this.#units.values()].map(({ adapter }) => adapter.disconnect()));
  }
}
