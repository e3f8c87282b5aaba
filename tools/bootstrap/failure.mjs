/** What the user reads when the set-up cannot go on: one sentence that names the thing and the remedy. */

/** Its message is shown as it is, without a stack. */
export class SetupFailure extends Error {}

const NETWORK =
  /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|dial tcp|fetch failed|due to timeout|network/i;

/**
 * The sentence for a failure while `doing` something ("installing the packages"), from an errno code or from what a
 * tool wrote. The order matters: a full disk also shows up as other failures.
 * @param {string} doing
 * @param {unknown} reason an error, or the output of a tool
 * @param {string} [logFile] where the whole story stands
 * @returns {SetupFailure}
 */
export function explain(doing, reason, logFile) {
  if (reason instanceof SetupFailure) return reason;
  const text =
    reason instanceof Error ? `${codeOf(reason)} ${reason.message} ${causeOf(reason)}` : String(reason);
  const more = logFile === undefined ? "" : ` The whole output is in ${logFile}.`;
  if (/ENOSPC|no space left|disk quota/i.test(text)) {
    return new SetupFailure(
      `The disk is full: ${doing} failed; free some space and run the same command again.`,
    );
  }
  if (/EROFS|read-only file system/i.test(text)) {
    return new SetupFailure(
      `The folder is read-only: ${doing} failed; put the repository where you may write, or mount it writable.`,
    );
  }
  if (/EACCES|EPERM|permission denied/i.test(text)) {
    const path = pathIn(text);
    return new SetupFailure(
      `No permission to write${path}: ${doing} failed; make it yours (chown) or choose another folder.`,
    );
  }
  if (NETWORK.test(text)) {
    return new SetupFailure(
      `No network: ${doing} failed; check the connection (or proxy) and run the same command again.${more}`,
    );
  }
  return new SetupFailure(`${capital(doing)} failed: ${tellingLine(text)}${more}`);
}

/** @param {Error} error */
function codeOf(error) {
  return "code" in error ? String(error.code) : "";
}

/** @param {Error} error */
function causeOf(error) {
  return error.cause instanceof Error ? `${codeOf(error.cause)} ${error.cause.message}` : "";
}

/** @param {string} text */
function pathIn(text) {
  const match = /'(\/[^']+)'/.exec(text);
  return match === null ? "" : ` ${match[1]}`;
}

/** The line that says what is wrong: the first that speaks of an error, else the last one. @param {string} text */
function tellingLine(text) {
  const lines = text.split("\n").map((line) => line.trim());
  const told = lines.filter((line) => line !== "" && !line.startsWith("$ "));
  const line = told.find((one) => /\berror\b|ERR_|fatal/i.test(one)) ?? told.at(-1) ?? "it said nothing";
  return line.replace(/^(error|fatal):\s*/i, "").replace(/\.?$/, ".");
}

/** @param {string} text */
function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
