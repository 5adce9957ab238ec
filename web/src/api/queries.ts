/** Names under which answers are kept, so that a change can refresh what it concerns. */

import { QueryClient } from "@tanstack/react-query";

import { ApiError } from "./client";

export const keys = {
  me: ["me"] as const,
  metrics: ["metrics"] as const,
  logs: ["logs"] as const,
  exchange: (id: string) => ["logs", "one", id] as const,
  usage: ["usage"] as const,
  providers: ["providers"] as const,
  authKeys: ["auth-keys"] as const,
  endpoints: ["endpoints"] as const,
  gateways: ["gateways"] as const,
  routing: ["routing"] as const,
  limits: ["limits"] as const,
  prices: ["prices"] as const,
  config: ["config"] as const,
  system: ["system"] as const,
};

export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      refetchOnWindowFocus: true,
      retry: (count, error) => count < 2 && !(error instanceof ApiError && error.status >= 400 && error.status < 500),
    },
  },
});
