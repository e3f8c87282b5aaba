/** Tells what the set-up does. On stderr, so that a program's output stays clean. */

const FRAMES = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const FRAME_MS = 120;
// Without a terminal nobody sees a spinner, so a long step says now and then that it is alive.
const ALIVE_MS = 20_000;

/**
 * Does one step and tells its beginning, that it goes on, and its end with the time it took.
 * @template T
 * @param {string} title what it is about: "Node 24.21.0"
 * @param {string} note what happens and what it costs: "downloading, about 190 MB on disk"
 * @param {(tell: (result: string) => void) => Promise<T>} work may tell a result that stands in the last line
 * @returns {Promise<T>}
 */
export async function step(title, note, work) {
  const begun = performance.now();
  const seconds = () => `${((performance.now() - begun) / 1000).toFixed(1)} s`;
  let result = "done";
  const stop = process.stderr.isTTY ? spin(title, note, seconds) : plain(title, note, seconds);
  try {
    const value = await work((text) => {
      result = text;
    });
    stop(`  ✓ ${title}: ${result} (${seconds()})`);
    return value;
  } catch (error) {
    stop(`  ✗ ${title} (${seconds()})`);
    throw error;
  }
}

/** @param {string} line */
export function say(line) {
  process.stderr.write(`${line}\n`);
}

/** @param {string} title @param {string} note @param {() => string} seconds */
function plain(title, note, seconds) {
  say(`  … ${title}: ${note}`);
  const timer = setInterval(() => say(`  … ${title}: still at it, ${seconds()}`), ALIVE_MS);
  return (/** @type {string} */ last) => {
    clearInterval(timer);
    say(last);
  };
}

/** @param {string} title @param {string} note @param {() => string} seconds */
function spin(title, note, seconds) {
  let frame = 0;
  const draw = () => {
    frame += 1;
    const line = `  ${FRAMES[frame % FRAMES.length]} ${title}: ${note}, ${seconds()}`;
    process.stderr.write(`\r\x1b[2K${line.slice(0, (process.stderr.columns || 100) - 1)}`);
  };
  draw();
  const timer = setInterval(draw, FRAME_MS);
  return (/** @type {string} */ last) => {
    clearInterval(timer);
    process.stderr.write(`\r\x1b[2K${last}\n`);
  };
}
