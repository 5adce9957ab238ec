/** Light, dark, or as the system says. */

import { useSyncExternalStore } from "react";

export type Theme = "system" | "light" | "dark";

const NAME = "llmitm-theme";
const watchers = new Set<() => void>();
const dark = matchMedia("(prefers-color-scheme: dark)");

function kept(): Theme {
  const value = localStorage.getItem(NAME);
  return value === "light" || value === "dark" ? value : "system";
}

export function show(theme: Theme): void {
  if (theme === "system") {
    localStorage.removeItem(NAME);
    delete document.documentElement.dataset.theme;
  } else {
    localStorage.setItem(NAME, theme);
    document.documentElement.dataset.theme = theme;
  }
  for (const watcher of watchers) watcher();
}

show(kept());
dark.addEventListener("change", () => {
  for (const watcher of watchers) watcher();
});

function watch(watcher: () => void): () => void {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

export function useTheme(): Theme {
  return useSyncExternalStore(watch, kept);
}

/** What is shown in the end. */
export function useShade(): "light" | "dark" {
  return useSyncExternalStore(watch, () => {
    const theme = kept();
    return theme === "system" ? (dark.matches ? "dark" : "light") : theme;
  });
}
