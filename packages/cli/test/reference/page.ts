/** What all generated pages have in common. */

/** A Markdown page with its title and where it comes from. `lines` are paragraphs and tables, empty lines included. */
export function page(title: string, source: string, lines: readonly string[]): string {
  const note = `<!-- Generated from ${source}; \`npm test -- cli -u\` writes it anew. -->`;
  return [`# ${title}`, "", note, "", ...lines, ""].join("\n");
}

/** A Markdown table; cells may hold anything but line breaks. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), `|${head.map(() => "---|").join("")}`, ...rows.map(line), ""];
}

/** `text` as code. */
export function code(text: string): string {
  return `\`${text}\``;
}
