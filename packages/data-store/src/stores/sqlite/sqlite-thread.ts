/** A thread with one connection to the file. */
import { serveCalls } from "../../thread/serve-calls.js";
import { close, open, snapshot } from "./file.js";
import type { Call } from "./protocol.js";
import { aggregate, latest, range } from "./queries.js";
import { remove, write } from "./writes.js";

serveCalls<Call>((call) => {
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
});
