/** Questions that several pages ask. */

import { useQuery, useQueryClient } from "@tanstack/react-query";

import { get } from "./client";
import { useNews } from "./live";
import { keys } from "./queries";
import type { Metrics } from "./types";

const HISTORY_MS = 5_000;

/** How the gateway is: asked once and pushed each second; its history is asked for again now and then. */
export function useMetrics() {
  const client = useQueryClient();
  useNews(["metrics"], (news) => {
    if (news.type !== "metrics") return;
    client.setQueryData<Metrics>(keys.metrics, (before) => ({ ...before, ...(news.data as Metrics) }));
  });
  return useQuery({
    queryKey: keys.metrics,
    queryFn: ({ signal }) => get<Metrics>("metrics", undefined, signal),
    refetchInterval: HISTORY_MS,
    staleTime: 0,
  });
}
