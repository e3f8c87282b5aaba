/** One line that tells how far the demo is: drawn again on a terminal, every tenth written elsewhere. */

export interface ProgressTarget {
  readonly isTTY: boolean;
  write(text: string): void;
}

const BAR_WIDTH = 30;

/** Shows `count of total`. `silent` shows nothing. */
export class Progress {
  readonly #target: ProgressTarget;
  readonly #total: number;
  #tenth = 0;

  constructor(target: ProgressTarget, total: number) {
    this.#target = target;
    this.#total = total;
  }

  show(count: number, seconds: number): void {
    const share = this.#total === 0 ? 1 : count / this.#total;
    const rate = seconds > 0 ? Math.round(count / seconds) : 0;
    const text =
      `${String(Math.floor(share * 100)).padStart(3)} %  ${count.toLocaleString("en")} of ` +
      `${this.#total.toLocaleString("en")} readings at the app, ${rate.toLocaleString("en")}/s`;
    if (this.#target.isTTY) {
      const filled = Math.round(share * BAR_WIDTH);
      this.#target.write(`\r\u001b[K${"█".repeat(filled)}${"░".repeat(BAR_WIDTH - filled)} ${text}`);
      return;
    }
    const tenth = Math.floor(share * 10);
    if (tenth <= this.#tenth) return;
    this.#tenth = tenth;
    this.#target.write(`${text}\n`);
  }

  /** Ends the line. */
  end(): void {
    if (this.#target.isTTY) this.#target.write("\n");
  }
}
