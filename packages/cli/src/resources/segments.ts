/** The documents of a YAML file as pieces of text, so that one can be changed and the others stay as they are, to the byte. */
import { type ParsedDocument, parseResources, type ResourceProblem } from "@myelin/config";

/** Text from one `---` to the next, its own included; `documents` that lie in it, usually one. */
export interface Segment {
  readonly text: string;
  readonly documents: readonly ParsedDocument[];
}

/** A file in pieces; together their texts are the file. */
export interface SegmentedFile {
  readonly segments: readonly Segment[];
  /** Of the text as a whole. */
  readonly problems: readonly ResourceProblem[];
}

// At the beginning of a line this always begins a document, also within a block of text (YAML 1.2.2, 9.1.2).
const MARKER = /^---(?=[ \t\r\n]|$)/gm;
const OWN_LINE = /^---[ \t]*(#.*)?(\r?\n|$)/;
/** Directives and ends of documents reach beyond a piece. */
const REACHES_OUT = /^(%|\.\.\.([ \t\r\n]|$))/m;

/** @param source name of the file in problems */
export async function segment(text: string, source: string): Promise<SegmentedFile> {
  const { documents, problems } = await parseResources(text, source);
  const starts = [...text.matchAll(MARKER)].map(({ index }) => index);
  const bounds = [...new Set([0, ...starts, text.length])];
  const segments: Segment[] = [];
  let line = 1;
  for (const [i, start] of bounds.slice(0, -1).entries()) {
    const piece = text.slice(start, bounds[i + 1]);
    const next = line + piece.split("\n").length - 1;
    // The last line of all has no break behind it.
    const isLast = i === bounds.length - 2;
    const own = documents.filter((d) => d.line >= line && (isLast || d.line < next));
    segments.push({ text: piece, documents: own });
    line = next;
  }
  return { segments, problems };
}

/** The document of a piece alone, without the `---` before it; undefined when it cannot stand alone as it is written. */
export function textOf({ text, documents }: Segment): string | undefined {
  if (documents.length !== 1 || REACHES_OUT.test(text)) return undefined;
  if (!text.startsWith("---")) return text;
  return OWN_LINE.test(text) ? text.replace(OWN_LINE, "") : undefined;
}

/** A file with another text in place of one piece; undefined takes it out. */
export function replaceSegment(file: SegmentedFile, at: number, text: string | undefined): string {
  const pieces = file.segments.map((piece, i) => {
    if (i !== at) return piece.text;
    if (text === undefined) return "";
    const head = OWN_LINE.exec(piece.text)?.[0] ?? (piece.text.startsWith("---") ? "---\n" : "");
    return head + withBreak(text);
  });
  return pieces.join("");
}

/** A file with one more document at its end. */
export function appendDocument(text: string, document: string): string {
  return text.trim() === "" ? withBreak(document) : `${withBreak(text)}---\n${withBreak(document)}`;
}

function withBreak(text: string): string {
  return text === "" || text.endsWith("\n") ? text : `${text}\n`;
}
