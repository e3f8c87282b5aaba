/** A stream of devices in a request: each line for itself, and a report of those that were refused. */
import { AppError } from "@myelin/kernel";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { ProtocolContext } from "../../../core/protocol.js";
import { importDevices, refusedJson } from "../../../device-lines/import.js";
import { readDevices } from "../../../device-lines/read.js";
import { numberOf, type Query } from "../admin/query.js";
import { DEFAULT_REFUSED, MAX_REFUSED } from "./routes.js";

/** The request that brings them. */
export interface Bringing {
  readonly tenant: string;
  readonly user: string;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

/**
 * Reads no faster than the registry takes them. What ends the stream early (it breaks off, or is no CSV) leaves what came before imported,
 * and says so.
 */
export async function importStream(
  { registry, log }: ProtocolContext,
  { tenant, user, request, reply }: Bringing,
  type: string,
): Promise<FastifyReply> {
  const most = numberOf(request.query as Query, "errors", 0, MAX_REFUSED) ?? DEFAULT_REFUSED;
  const errors: object[] = [];
  const source = request.body as AsyncIterable<Uint8Array>;
  const lines = readDevices(source, type === "text/csv" ? "csv" : "ndjson", tenant);
  let report = { imported: 0, created: 0, refused: 0 };
  let broken: AppError | undefined;
  try {
    report = await importDevices(registry, lines, {
      onRefused: (line) => {
        if (errors.length < most) errors.push(refusedJson(line));
      },
      onProgress: (now) => {
        report = now;
      },
    });
  } catch (thrown) {
    broken = AppError.from(thrown);
    if (broken.code !== "device.unreadable") throw broken;
  }
  log.info({ ...report, operator: user, code: broken?.code }, "an operator has imported devices");
  if (broken !== undefined) throw Object.assign(broken, { extensions: { ...report, errors } });
  const status = report.refused === 0 ? 200 : report.imported > 0 ? 207 : 422;
  if (status === 422) {
    const error = new AppError("device.invalid", "every line is refused");
    throw Object.assign(error, { extensions: { ...report, errors } });
  }
  return reply
    .code(status)
    .type("application/json")
    .send(JSON.stringify({ ...report, errors }));
}
