/** Changes of the gateway that forms ask for. */

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import type { Problem } from "../api/client";
import { ApiError, call } from "../api/client";

type Method = Parameters<typeof call>[0];

interface Asked {
  method: Method;
  path: string;
  body?: unknown;
  headers?: Record<string, string>;
}

/** A change of the gateway: what went wrong with it, and what is shown read anew after it. */
export function useChange<Answer = unknown>(onDone?: (answer: Answer) => void) {
  const queries = useQueryClient();
  const [found, setFound] = useState<Problem[]>([]);
  const mutation = useMutation<Answer, Error, Asked>({
    mutationFn: ({ method, path, body, headers }) => call<Answer>(method, path, { body, headers }),
    onSuccess: (answer) => {
      void queries.invalidateQueries();
      onDone?.(answer);
    },
  });
  const error = mutation.error;
  const problems = found.length ? found : error instanceof ApiError ? error.problems : [];
  return {
    isBusy: mutation.isPending,
    problems,
    /** A sentence, where no problem says it better. */
    failure: problems.length === 0 && error ? error.message : null,
    error,
    clear: () => {
      setFound([]);
      mutation.reset();
    },
    /** Shows problems that were found before anything was sent. */
    refuse: setFound,
    send: (method: Method, path: string, body?: unknown, headers?: Record<string, string>) => {
      setFound([]);
      mutation.mutate({ method, path, body, headers });
    },
  };
}
