/** Kills what a test started when the test process itself is gone, however it went. */
import { type ChildProcess, spawn } from "node:child_process";

// The shell holds the reading end of a pipe whose writing end dies with this process: end of input means we are gone.
// It ignores the signals of a Ctrl-C, which would otherwise end it before its work.
const SCRIPT = `
trap '' INT TERM HUP
alive=' '
while read -r op pid; do
  case "$op" in
    add) alive="$alive$pid " ;;
    del) case "$alive" in *" $pid "*) alive="\${alive%% $pid *} \${alive#* $pid }" ;; esac ;;
  esac
done
for pid in $alive; do kill -KILL "-$pid"; done
`;

let reaper: ChildProcess | undefined;

/** From now on the process group led by `pid` is killed (SIGKILL) when this process ends without calling `forget`. */
export function watch(pid: number): void {
  tell(`add ${pid}`);
}

/** The group is no longer ours to kill: its leader was waited for and its members swept. */
export function forget(pid: number): void {
  tell(`del ${pid}`);
}

function tell(line: string): void {
  reaper ??= startReaper();
  reaper.stdin?.write(`${line}\n`);
}

function startReaper(): ChildProcess {
  const child = spawn("/bin/sh", ["-c", SCRIPT], { stdio: ["pipe", "ignore", "ignore"], detached: true });
  // Its death costs only the clean-up after a crash; the tests themselves go on.
  child.on("error", () => undefined);
  child.stdin.on("error", () => undefined);
  child.unref();
  (child.stdin as unknown as { unref(): void }).unref();
  return child;
}
