/** A filter with its tenant as one text. */

/**
 * The filter itself for the default tenant, whose name is empty; else tenant, NUL and filter. No filter has a NUL, so the text
 * says which filter of whom it is.
 */
export function filterKey(tenant: string, filter: string): string {
  return tenant === "" ? filter : `${tenant}\0${filter}`;
}

/** Takes a key apart; what `filterKey` has made is always understood. */
export function splitFilterKey(key: string): { readonly tenant: string; readonly filter: string } {
  const end = key.lastIndexOf("\0");
  return end < 0 ? { tenant: "", filter: key } : { tenant: key.slice(0, end), filter: key.slice(end + 1) };
}
