/** The inner end of a thread of calls: calls in, answers out, one after the other. */
import { parentPort } from "node:worker_threads";

/** What every thread is asked: `open` before the first call of its own, `close` at the end. */
export interface ThreadCall {
  readonly op: string;
}

/** What a thread says to each call. */
export type Reply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly code: string; readonly message: string };

/** What the caller is told, with a code of the catalogue. */
export class Refusal extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Answers calls with what the function returns, or with a code for what it throws: a `Refusal`'s own, else by SQLite's result code. */
export function serveCalls<Call extends ThreadCall>(answer: (call: Call) => unknown): void {
  parentPort?.on("message", ({ id, call }: { id: number; call: Call }) => {
    let reply: Reply;
    try {
      reply = { id, value: answer(call) };
    } catch (thrown) {
      reply = {
        id,
        code: codeOf(thrown),
        message: thrown instanceof Error ? thrown.message : String(thrown),
      };
    }
    parentPort?.postMessage(reply);
  });
}

/** Result codes of SQLite (sqlite.org/rescode.html), the primary ones. */
function codeOf(thrown: unknown): string {
  if (thrown instanceof Refusal) return thrown.code;
  const { errcode = 0 } = thrown as { errcode?: number };
  if ((errcode & 0xff) === 13) return "store.full";
  // A damaged file (11, 26) counts as away: an operator can put it right, and until then nothing may be given up.
  return errcode === 0 ? "internal.unexpected" : "store.unavailable";
}
