import { useQueryClient } from "@tanstack/react-query";
import type { ReactNode } from "react";

import { remove } from "../api/client";
import { Ask, useSay } from "../components";
import { useChange } from "./changing";

/** A change in a dialog: says what was done, and closes. */
export function useDone(onClose: () => void) {
  const say = useSay();
  return useChange<{ message: string }>((done) => {
    say(done.message);
    onClose();
  });
}

interface RemovalProps {
  title: string;
  verb: string;
  path: string;
  /** What will happen, and whether it can be undone. */
  children: ReactNode;
  onClose: () => void;
}

/** Asks first, and says what was done. */
export function Removal({ title, verb, path, children, onClose }: RemovalProps) {
  const queries = useQueryClient();
  const say = useSay();
  const yes = async () => {
    const done = await remove<{ message: string }>(path);
    say(done.message);
    void queries.invalidateQueries();
  };
  return (
    <Ask isOpen title={title} verb={verb} onYes={yes} onClose={onClose}>
      {children}
    </Ask>
  );
}
