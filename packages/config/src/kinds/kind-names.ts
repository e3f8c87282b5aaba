/** How kinds are called outside of documents: in lists, on the command line, in Kubernetes. */
import { API_VERSION } from "./kind.js";

/** `myelin.dev` */
export const API_GROUP = API_VERSION.slice(0, API_VERSION.indexOf("/"));

/** `route` */
export function singularOf(kind: string): string {
  return kind.toLowerCase();
}

/** `routes` */
export function pluralOf(kind: string): string {
  const one = singularOf(kind);
  if (one.endsWith("s")) return `${one}es`;
  return /[^aeiou]y$/.test(one) ? `${one.slice(0, -1)}ies` : `${one}s`;
}
