/** A thread with one connection to the file: calls in, answers out, one after the other. */
import { parentPort } from "node:worker_threads";
import { close, open, Refusal, snapshot } from "./file.js";
import type { Call, Reply } from "./protocol.js";
import { aggregate, latest, range } from "./queries.js";
import { remove, write } from "./writes.js";

function answer(call: Call): unknown {
  switch (call.op) {
    case "open":
      return open();
    case "write":
      return write(call.blocks);
    case "remove":
      return remove(call.beforeUs, call.afterSeries, call.rows);
    case "range":
      return snapshot(() => range(call.query));
    case "aggregate":
      return snapshot(() => aggregate(call.query));
    case "latest":
      return snapshot(() => latest(call.query));
    case "close":
      return close();
  }
}

/** Result codes of SQLite (sqlite.org/rescode.html), the primary ones. */
function codeOf(thrown: unknown): string {
  if (thrown instanceof Refusal) return thrown.code;
  const { errcode = 0 } = thrown as { errcode?: number };
  if ((errcode & 0xff) === 13) return "store.full";
  // A damaged file (11, 26) counts as away: an operator can put it right, and until then nothing may be given up.
  return errcode === 0 ? "internal.unexpected" : "store.unavailable";
}

parentPort?.on("message", ({ id, call }: { id: number; call: Call }) => {
  let reply: Reply;
  try {
    reply = { id, value: answer(call) };
  } catch (thrown) {
    reply = { id, code: codeOf(thrown), message: thrown instanceof Error ? thrown.message : String(thrown) };
  }
  parentPort?.postMessage(reply);
});
