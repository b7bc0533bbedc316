import "@fontsource-variable/ibm-plex-sans/wght.css";
import "uplot/dist/uPlot.min.css";
import "./theme/theme.css";
import "./theme/parts.css";
import "./theme/pages.css";

import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { ApiError } from "./api/client";
import { Live } from "./live/live";
import { LiveContext } from "./bind/live";
import { Routes } from "./routes";
import { ThemeProvider } from "./theme/theme";

const scheme = location.protocol === "https:" ? "wss" : "ws";
const live = new Live(`${scheme}://${location.host}/ws`);
addEventListener("online", () => live.client.retryNow());
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") live.client.retryNow();
});

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      // A wrong question stays wrong; only silence is worth another try.
      retry: (failures, err) => failures < 2 && !(err instanceof ApiError && err.status >= 400 && err.status < 500),
      refetchOnWindowFocus: false,
      staleTime: 5000,
    },
  },
});

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={queries}>
        <LiveContext value={live}>
          <ThemeProvider>
            <Routes />
          </ThemeProvider>
        </LiveContext>
      </QueryClientProvider>
    </StrictMode>,
  );
}
