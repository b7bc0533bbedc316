/** What every page has: its head with the ways to other pages, the connection and the theme. */
import type { ReactNode } from "react";
import { Link, useLocation } from "wouter";

import { useTheme } from "../theme/theme";
import type { ThemeChoice } from "../theme/theme";
import { ConnectionBadge } from "./ConnectionBadge";

export function Shell({ children }: { children: ReactNode }) {
  const [path] = useLocation();
  const inFleet = path === "/" || path.startsWith("/hosts/") || path.startsWith("/gpus/");
  return (
    <>
      <a className="skip" href="#page">
        To the content
      </a>
      <header className="head">
        <Link href="/" className="brand" aria-label="gpupulse, the fleet">
          <svg viewBox="0 0 32 20" aria-hidden="true">
            <path d="M2 11h6l3-8 5 14 4-10 2 4h8" />
          </svg>
          <span>gpupulse</span>
        </Link>
        <nav aria-label="Pages">
          <Link href="/" aria-current={inFleet ? "page" : undefined}>
            Fleet
          </Link>
          <Link href="/pipeline" aria-current={path === "/pipeline" ? "page" : undefined}>
            Pipeline
          </Link>
        </nav>
        <ConnectionBadge />
        <ThemeButton />
      </header>
      <main id="page" tabIndex={-1}>
        {children}
      </main>
    </>
  );
}

const next: Record<ThemeChoice, ThemeChoice> = { system: "dark", dark: "light", light: "system" };
const sign: Record<ThemeChoice, string> = { system: "◐", dark: "●", light: "○" };

function ThemeButton() {
  const { choice, choose } = useTheme();
  const label = `Theme: ${choice}. Change to ${next[choice]}`;
  return (
    <button type="button" className="icon" title={label} aria-label={label} onClick={() => choose(next[choice])}>
      <span aria-hidden="true">{sign[choice]}</span>
    </button>
  );
}
