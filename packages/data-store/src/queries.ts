/** What queries have in common, whatever the store. */
import { AppError } from "@myelin/kernel";
import { type AggregateQuery, MAX_PAGE, type RangeQuery } from "./data-store.js";
import { type Position, tryDecodePosition } from "./position.js";

const MAX_PAGE_BYTES = 4 * 1024 * 1024;

/** @throws AppError `history.bad_query` */
export function checkRange(query: RangeQuery | AggregateQuery): void {
  const { fromUs, toUs } = query;
  const everyUs = "everyUs" in query ? query.everyUs : undefined;
  expect(Number.isSafeInteger(fromUs) && Number.isSafeInteger(toUs), "from and to must be times");
  expect(fromUs <= toUs, "from must not be after to");
  checkPage(query);
  expect(
    everyUs === undefined || (Number.isSafeInteger(everyUs) && everyUs >= 1),
    "every must be a length of time",
  );
}

/** @throws AppError `history.bad_query` */
export function checkPage({ limit }: { readonly limit: number }): void {
  expect(Number.isInteger(limit) && limit >= 1 && limit <= MAX_PAGE, `limit must be from 1 to ${MAX_PAGE}`);
}

/** What a page may hold. */
export function pageBytes({ maxBytes = MAX_PAGE_BYTES }: { readonly maxBytes?: number | undefined }): number {
  return maxBytes;
}

/** Where a page begins. @throws AppError `history.bad_query` */
export function positionOf(cursor: string | undefined): Position | undefined {
  if (cursor === undefined) return undefined;
  const position = tryDecodePosition(cursor);
  if (position !== undefined) return position;
  throw new AppError("history.bad_query", "the cursor is not one that a query gave");
}

/** So many stretches from the one in which a time lies, so that a page reads what it shows and not everything behind it. */
export function windowOf(
  { fromUs, toUs, everyUs }: AggregateQuery,
  timeUs: number,
  stretches: number,
): { readonly from: number; readonly to: number } {
  if (everyUs === undefined) return { from: fromUs, to: toUs };
  const startUs = Math.floor(timeUs / everyUs) * everyUs;
  return { from: Math.max(fromUs, startUs), to: Math.min(toUs, startUs + everyUs * stretches) };
}

function expect(holds: boolean, what: string): void {
  if (!holds) throw new AppError("history.bad_query", what);
}
