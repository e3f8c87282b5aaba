/** The reference page of the error codes, made from the catalogue. */
import { ERROR_CODES, type ErrorCode, type ErrorEntry, RETIRED } from "./codes.js";
import { ERROR_MEANINGS } from "./meanings.table.js";

/** The whole text of `docs/reference/errors.md`; a test holds the file to it. */
export function errorsReference(): string {
  const rows = (Object.entries(ERROR_CODES) as [ErrorCode, ErrorEntry][]).map(
    ([code, e]) =>
      `| \`${code}\` | ${e.family} | ${e.retryable ? "yes" : "no"} | ${e.http} | ${e.grpc} | ${ERROR_MEANINGS[code]} |`,
  );
  return [
    "# Error codes",
    "",
    "<!-- Generated from packages/kernel/src/errors/codes.ts; `vitest run packages/kernel -u` writes it anew. -->",
    "",
    "Every error carries a code that never changes its meaning. *Family* says who acts: `caller` fixes the request,",
    "`world` is retried with back-off, `ours` is a defect and raises an alarm. *Retry* says whether the same request may",
    "succeed later.",
    "",
    "| code | family | retry | HTTP | gRPC | meaning |",
    "|---|---|---|---|---|---|",
    ...rows,
    "",
    RETIRED.length === 0
      ? "No code is retired."
      : `Retired, never to return: ${RETIRED.map((c) => `\`${c}\``).join(", ")}.`,
    "",
  ].join("\n");
}
