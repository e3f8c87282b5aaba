/** What the type of a body says about how it is read. */

export const JSON_TYPE = "application/json";

/** Types whose body is a stream of lines. */
export const NDJSON_TYPES: readonly string[] = [
  "application/x-ndjson",
  "application/ndjson",
  "application/jsonl",
];

/** @param type without parameters, in lower case */
export function isJsonType(type: string): boolean {
  return type === JSON_TYPE || type.endsWith("+json");
}

/** What `curl -d` names every body. */
export const FORM_TYPE = "application/x-www-form-urlencoded";
