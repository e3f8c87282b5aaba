/** Takes envelopes that have become too old out of a share that had to wait. */
import { BATCH_FLAGS, BatchView } from "@myelin/contract";
import type { Share } from "./share.js";

/** A share that waits is looked through at most this often, so an envelope is handed on at most this long after its time. */
const LOOK_EVERY_MS = 50;

/** True when the share may hold envelopes that have become too old since it was looked through last. */
export function mayHaveExpired(share: Share, nowMs: number): boolean {
  return (share.flags & BATCH_FLAGS.expiry) !== 0 && nowMs - share.lookedMs >= LOOK_EVERY_MS;
}

/** True for an envelope of a flagged batch that is too old; the view stands on it. */
export function isExpired(view: BatchView, nowUs: number): boolean {
  const at = view.expiresAtUs;
  return at !== 0 && at <= nowUs;
}

/** Takes out what is too old, and books it as expired. The share must not be on its way. */
export function dropExpired(share: Share, nowMs: number, nowUs: number): void {
  share.lookedMs = nowMs;
  const view = new BatchView().reset(share.data);
  const runs: number[] = [];
  let kept = 0;
  let bytes = 0;
  while (view.next()) {
    if (isExpired(view, nowUs)) continue;
    kept++;
    bytes += view.recordEnd - view.recordStart;
    if (runs.at(-1) === view.recordStart) runs[runs.length - 1] = view.recordEnd;
    else runs.push(view.recordStart, view.recordEnd);
  }
  if (kept === share.count) return;
  share.account.expired += share.count - kept;
  const { data, recordsStart } = share;
  share.data = Buffer.allocUnsafeSlow(recordsStart + bytes);
  share.count = kept;
  let at = data.copy(share.data, 0, 0, recordsStart);
  for (let i = 0; i < runs.length; i += 2) at += data.copy(share.data, at, runs[i]!, runs[i + 1]!);
}
