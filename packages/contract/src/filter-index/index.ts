export {
  type AddOutcome,
  FilterIndex,
  type FilterIndexObserver,
  type FilterIndexOptions,
  type RemoveOutcome,
} from "./filter-index.js";
export { filterKey, splitFilterKey } from "./key.js";
export { MAX_LISTENER_FILTERS } from "./limits.js";
export { PathWatches, type PathWatchesOptions } from "./path-watches.js";
