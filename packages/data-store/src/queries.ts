/** What is wrong with a query, whatever the store. */
import { AppError } from "@myelin/kernel";
import { type AggregateQuery, MAX_PAGE, type RangeQuery } from "./data-store.js";

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

function expect(holds: boolean, what: string): void {
  if (!holds) throw new AppError("history.bad_query", what);
}
