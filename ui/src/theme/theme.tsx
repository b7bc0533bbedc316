/** Which theme is on: the reader's choice, or else the system's. */
import { createContext, use, useCallback, useEffect, useMemo, useState } from "react";
import type { ReactNode } from "react";

import { readPalette } from "./palette";
import type { Palette } from "./palette";

export type ThemeChoice = "system" | "dark" | "light";

interface ThemeState {
  choice: ThemeChoice;
  choose: (c: ThemeChoice) => void;
  palette: Palette;
}

const key = "gpupulse.theme";
const systemIsLight = window.matchMedia("(prefers-color-scheme: light)");

function stored(): ThemeChoice {
  try {
    const v = localStorage.getItem(key);
    if (v === "dark" || v === "light") return v;
  } catch {
    // Storage may be forbidden; then the choice lasts as long as the page.
  }
  return "system";
}

/** Sets the theme on the root element and returns its colours. */
function applyTheme(choice: ThemeChoice): Palette {
  const isLight = choice === "light" || (choice === "system" && systemIsLight.matches);
  document.documentElement.dataset.theme = isLight ? "light" : "dark";
  return readPalette();
}

const ThemeContext = createContext<ThemeState | null>(null);

export function ThemeProvider({ children }: { children: ReactNode }) {
  const [state, setState] = useState(() => {
    const choice = stored();
    return { choice, palette: applyTheme(choice) };
  });
  const choose = useCallback((choice: ThemeChoice) => {
    try {
      localStorage.setItem(key, choice);
    } catch {
      // As above.
    }
    setState({ choice, palette: applyTheme(choice) });
  }, []);
  useEffect(() => {
    const change = () => setState((s) => ({ ...s, palette: applyTheme(s.choice) }));
    systemIsLight.addEventListener("change", change);
    return () => systemIsLight.removeEventListener("change", change);
  }, []);
  const value = useMemo(() => ({ ...state, choose }), [state, choose]);
  return <ThemeContext value={value}>{children}</ThemeContext>;
}

export function useTheme(): ThemeState {
  const theme = use(ThemeContext);
  if (!theme) throw new Error("useTheme outside of ThemeProvider");
  return theme;
}
