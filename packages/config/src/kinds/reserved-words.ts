/** Words of the expression language, which can name nothing else. */
export const RESERVED_WORDS: ReadonlySet<string> = new Set(
  (
    "true false null in as break const continue else for function if import let loop package namespace return var void while " +
    "int uint double bool string bytes list map type dyn duration timestamp optional size has"
  ).split(" "),
);
