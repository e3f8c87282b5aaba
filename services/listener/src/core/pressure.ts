/** Which subscribers have more waiting than they should, and for how long they may hold back the events of everybody. */

/** What a subscriber gains per millisecond that passes: one that takes nothing holds others back for a tenth of the time at most. */
const GAINED_PER_MS = 0.1;
/** What it gains by reading on: one that takes 5,000 messages or 10 MB a second is quick enough never to use up its patience. */
const GAINED_PER_MESSAGE_MS = 0.2;
const GAINED_PER_BYTE_MS = 1e-4;

/** How long others wait for one subscriber; made when it first presses. */
export class Patience {
  /** It waits among those that press. */
  isPressing = false;
  /** Nobody waits for it until it has half of its time again: what is too much for it then is its own affair. */
  isOver = false;
  private leftMs: number;

  /** @param maxMs what it has at most, and at first */
  constructor(
    private readonly maxMs: number,
    private lookedMs: number,
  ) {
    this.leftMs = maxMs;
  }

  /** A message of so many bytes was sent to it. */
  sent(bytes: number): void {
    this.leftMs = Math.min(this.maxMs, this.leftMs + GAINED_PER_MESSAGE_MS + bytes * GAINED_PER_BYTE_MS);
  }

  /** Counts the time since it was last looked at. */
  look(nowMs: number): void {
    const ms = nowMs - this.lookedMs;
    this.lookedMs = nowMs;
    this.leftMs = Math.min(this.maxMs, this.leftMs + ms * (GAINED_PER_MS - (this.isPressing ? 1 : 0)));
    if (this.leftMs <= 0) this.isOver = true;
    else if (this.leftMs >= this.maxMs / 2) this.isOver = false;
  }
}

/** One per process. While it is on, nobody is given events. */
export class Pressure {
  /** Plain, because it is asked before every message. */
  isOn = false;
  private readonly pressing = new Set<Patience>();
  private onChange: (isOn: boolean) => void = () => undefined;

  /** `onChange` is called within what subscribers say, and must not give them anything by itself. */
  attach(onChange: (isOn: boolean) => void): void {
    this.onChange = onChange;
  }

  /** The subscriber has too much waiting. Without effect when it presses already, or when its patience is over. */
  press(patience: Patience, nowMs: number): void {
    if (patience.isPressing) return;
    patience.look(nowMs);
    if (patience.isOver) return;
    patience.isPressing = true;
    this.pressing.add(patience);
    if (!this.isOn) this.change(true);
  }

  /** It takes more again, or is gone. */
  ease(patience: Patience, nowMs: number): void {
    if (!patience.isPressing) return;
    patience.look(nowMs);
    this.release(patience);
  }

  /** Lets those go whose patience is over. To be called several times a second while it is on. */
  look(nowMs: number): void {
    for (const patience of [...this.pressing]) {
      patience.look(nowMs);
      if (patience.isOver) this.release(patience);
    }
  }

  private release(patience: Patience): void {
    patience.isPressing = false;
    this.pressing.delete(patience);
    if (this.isOn && this.pressing.size === 0) this.change(false);
  }

  private change(isOn: boolean): void {
    this.isOn = isOn;
    this.onChange(isOn);
  }
}
