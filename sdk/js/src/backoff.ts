/**
 * How long to wait before the next attempt to connect: full jitter, so that a
 * thousand clients of a hub that comes back do not come all at once.
 */
export class Backoff {
  private attempts = 0;

  /** Times in milliseconds; random answers numbers from 0 to below 1. */
  constructor(
    private readonly least: number,
    private readonly most: number,
    private readonly random: () => number,
  ) {}

  /** The next wait in milliseconds, at least hint. */
  next(hint = 0): number {
    const ceiling = Math.min(this.most, this.least * 2 ** this.attempts);
    this.attempts = Math.min(this.attempts + 1, 30);
    // A hint is the same for all, so the jitter goes on top of it.
    return hint + this.random() * ceiling;
  }

  /** A connection was good: begin again with the shortest wait. */
  reset(): void {
    this.attempts = 0;
  }
}
