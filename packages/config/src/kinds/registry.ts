/** Every resource kind: one line each. Key = `kind` of the document. */
import type { AnyKind } from "./kind.js";
import { routeKind } from "./route.js";

type KindRegistry = Readonly<Record<string, AnyKind>>;

export const kinds = {
  Route: routeKind,
} satisfies KindRegistry;
