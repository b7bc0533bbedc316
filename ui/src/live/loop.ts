/**
 * The one animation loop. Whoever has new data asks for a frame; all tasks run in it,
 * at most once per frame. A page that is hidden draws nothing.
 */
export class Loop {
  private readonly tasks = new Set<(now: number) => void>();
  private frame = 0;
  private readonly second: ReturnType<typeof setInterval>;

  constructor() {
    // Ages and sliding windows change without data.
    this.second = setInterval(() => this.request(), 1000);
  }

  /** Runs task in every frame from now on. Returns how to stop that. */
  add(task: (now: number) => void): () => void {
    this.tasks.add(task);
    this.request();
    return () => this.tasks.delete(task);
  }

  /** Asks for a frame. */
  request(): void {
    if (this.frame !== 0) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      const now = Date.now();
      for (const task of this.tasks) task(now);
    });
  }

  close(): void {
    clearInterval(this.second);
    cancelAnimationFrame(this.frame);
    this.tasks.clear();
  }
}
