/** Follows the numbers of each producer's telemetry link: doubles are refused, gaps are booked. */
import type { envelope } from "@myelin/contract";

const MAX_LINKS = 4096;

/** One per owned partition. A link that is met for the first time begins where it is. */
export class TelemetryLinks {
  private readonly links = new Map<string, { incarnation: number; sequence: number; ordinal: number }>();

  /** @param onLost told how many envelopes a gap has cost */
  constructor(private readonly onLost: (envelopes: number) => void) {}

  /** False for a batch that was seen. */
  accept(hop: envelope.Hop): boolean {
    const link = this.links.get(hop.sender);
    if (link === undefined || link.incarnation !== hop.incarnation) {
      if (link === undefined && this.links.size >= MAX_LINKS) this.forgetOne();
      this.links.set(hop.sender, {
        incarnation: hop.incarnation,
        sequence: hop.sequence,
        ordinal: hop.firstOrdinal + hop.count,
      });
      return true;
    }
    if (hop.sequence <= link.sequence) return false;
    const lost = hop.firstOrdinal - link.ordinal;
    if (lost > 0) this.onLost(lost);
    link.sequence = hop.sequence;
    link.ordinal = hop.firstOrdinal + hop.count;
    return true;
  }

  private forgetOne(): void {
    for (const sender of this.links.keys()) {
      this.links.delete(sender);
      return;
    }
  }
}
