import { Component } from "react";
import type { ErrorInfo, ReactNode } from "react";

import { sentence } from "../api/client";

/** Keeps a page's failure to that page, and says what happened. */
export class Boundary extends Component<{ children: ReactNode }, { failed: unknown }> {
  override state = { failed: undefined as unknown };

  static getDerivedStateFromError(failed: unknown) {
    return { failed };
  }

  override componentDidCatch(err: unknown, info: ErrorInfo): void {
    console.error("page failed", err, info.componentStack);
  }

  override render(): ReactNode {
    if (this.state.failed === undefined) return this.props.children;
    return (
      <section className="empty" role="alert">
        <h1>This page has failed</h1>
        <p>{sentence(this.state.failed)} The connection to the hub is not touched by it.</p>
        <button type="button" onClick={() => this.setState({ failed: undefined })}>
          Try again
        </button>
      </section>
    );
  }
}
