/** Checks that links in Markdown lead somewhere. */
import { posix } from "node:path";

/** Answers for the file at a path relative to the root: its text, "" for a folder or another kind of file, undefined for none. */
export type Lookup = (path: string) => string | undefined;

/** One sentence for each relative link, in the Markdown at `path`, whose file or heading is not there. */
export function brokenLinks(path: string, text: string, lookup: Lookup): string[] {
  return linksOf(text).flatMap((link) => {
    if (/^[a-z][a-z+.-]*:/i.test(link) || link.startsWith("//")) return [];
    const [file = "", anchor] = decodeURI(link).split("#");
    const target = file === "" ? path : posix.join(posix.dirname(path), file);
    const content = lookup(target.replace(/\/$/, ""));
    if (content === undefined) return [`${path} links to ${link}, which does not exist`];
    if (anchor === undefined || anchor === "" || !target.endsWith(".md")) return [];
    return headingsOf(content).includes(anchor)
      ? []
      : [`${path} links to ${link}, which has no such heading`];
  });
}

function linksOf(markdown: string): string[] {
  const text = withoutCode(markdown);
  const inline = [...text.matchAll(/\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)/g)];
  const references = [...text.matchAll(/^\s*\[[^\]]+\]:\s+(\S+)/gm)];
  const html = [...text.matchAll(/\b(?:src|href)="([^"]+)"/g)];
  return [...inline, ...references, ...html].map((match) => match[1] ?? "");
}

/** As GitHub forms anchors: lower case, punctuation gone, spaces to hyphens, repeated ones numbered. */
function headingsOf(markdown: string): string[] {
  const counts = new Map<string, number>();
  return [...withoutFences(markdown).matchAll(/^#{1,6}\s+(.+?)\s*#*$/gm)].map((match) => {
    const slug = (match[1] ?? "")
      .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .replace(/\s/g, "-");
    const count = counts.get(slug) ?? 0;
    counts.set(slug, count + 1);
    return count === 0 ? slug : `${slug}-${count}`;
  });
}

function withoutFences(markdown: string): string {
  return markdown.replace(/^(```|~~~)[^\n]*\n[\s\S]*?^\1/gm, "");
}

function withoutCode(markdown: string): string {
  return withoutFences(markdown).replace(/`[^`\n]*`/g, "");
}
