/** Who is signed in, and what they may do. */

import { useQuery } from "@tanstack/react-query";
import { createContext, useContext, useEffect, useRef, useState } from "react";
import type { ReactNode } from "react";
import { useLocation, useNavigate } from "react-router";

import { ApiError, get, onSignedOut } from "../api/client";
import { feed } from "../api/live";
import { keys, queries } from "../api/queries";
import type { Me, Role } from "../api/types";
import { Failure } from "../components";
import { Over } from "./over";

const Who = createContext<Me | null>(null);
const RANKS: Record<Role, number> = { viewer: 0, operator: 1, admin: 2 };

export function useMe(): Me {
  const me = useContext(Who);
  if (!me) throw new Error("nobody is signed in");
  return me;
}

/** Whether the one who is signed in may do what needs this role. */
export function useMay(role: Role): boolean {
  return RANKS[useMe().role] >= RANKS[role];
}

/** Shows what is inside to who is signed in, and the way to the login to all others. Where a session ends, what
 * was typed stays behind the question for the password. */
export function Signed({ children }: { children: ReactNode }) {
  const navigate = useNavigate();
  const { pathname, search } = useLocation();
  const me = useQuery({ queryKey: keys.me, queryFn: () => get<Me>("auth/me"), staleTime: Infinity });
  const isOut = me.error instanceof ApiError && me.error.status === 401;
  const known = me.data?.name;
  const [isOver, setOver] = useState(false);
  const waiting = useRef<((isBack: boolean) => void)[]>([]);

  useEffect(() => {
    const leave = () => {
      feed.close();
      queries.removeQueries();
      const to = pathname + search;
      void navigate(to === "/" ? "/login" : `/login?to=${encodeURIComponent(to)}`, { replace: true });
    };
    onSignedOut(() => {
      if (known === undefined) {
        leave();
        return Promise.resolve(false);
      }
      setOver(true);
      return new Promise((resolve) => waiting.current.push(resolve));
    });
    if (isOut && known === undefined) leave();
    return () => onSignedOut(null);
  }, [isOut, known, navigate, pathname, search]);

  const back = (name: string) => {
    if (name !== known) return location.reload();
    setOver(false);
    for (const one of waiting.current.splice(0)) one(true);
  };
  if (me.data)
    return (
      <>
        <Who value={me.data}>{children}</Who>
        {isOver && <Over name={me.data.name} onBack={back} />}
      </>
    );
  if (me.error && !isOut)
    return (
      <div className="alone">
        <div className="card">
          <Failure error={me.error} again={() => void me.refetch()} />
        </div>
      </div>
    );
  return null;
}
