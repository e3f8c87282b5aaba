/** The thread that writes the tables of a process, and answers lists that may take long. */
import { workerData } from "node:worker_threads";
import { serveCalls } from "@myelin/data-store/serve-calls";
import type { TableCall, TableThreadData } from "./protocol.js";
import { TableWriter } from "./table-writer.js";

const { cacheBytes } = workerData as TableThreadData;
const tables = new Map<string, TableWriter>();

function table(path: string): TableWriter {
  let found = tables.get(path);
  if (found === undefined) {
    found = new TableWriter(path, cacheBytes);
    tables.set(path, found);
  }
  return found;
}

function forget(path: string): void {
  const found = tables.get(path);
  tables.delete(path);
  found?.close();
}

serveCalls<TableCall>((call) => {
  switch (call.op) {
    case "put":
      return table(call.path).put(call.columns, call.force, call.place);
    case "presence":
      return table(call.path).putPresence(call.columns);
    case "clearPresence":
      return table(call.path).clearPresence();
    case "list":
      return table(call.path).list(call.query);
    case "count":
      return table(call.path).count(call.tenant, call.term);
    case "forget":
      return forget(call.path);
    case "open":
      return undefined;
    case "close":
      for (const path of [...tables.keys()]) forget(path);
      return undefined;
  }
});
