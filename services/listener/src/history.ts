/** For tools that ask what was stored: nothing of the listener itself is loaded with it. */
export { HistoryClient, type HistoryWish } from "./core/history-client.js";
export {
  AGGREGATE_FIELDS,
  type AggregateField,
  type HistoryFormat,
  historyText,
  isoOf,
  qualityText,
  valueText,
} from "./core/history-text.js";
export { parseTimeUs } from "./core/history-time.js";
