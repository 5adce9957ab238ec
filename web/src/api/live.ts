/** What the gateway tells while it works: one connection for all pages, subscribed to what they look at. */

import { useEffect, useRef, useSyncExternalStore } from "react";

import { call } from "./client";

export type Channel = "metrics" | "exchanges" | "logs";
export interface News {
  type: string;
  data: unknown;
}
type Listener = (news: News) => void;
export type Link = "connecting" | "open" | "lost";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;
/** How the server closes where the login is over. */
const LOGGED_OUT = 4401;

class Feed {
  private socket: WebSocket | null = null;
  private readonly listeners = new Map<Listener, readonly Channel[]>();
  private readonly watchers = new Set<() => void>();
  private wait_ms = FIRST_WAIT_MS;
  private timer: number | undefined;
  /** null: nothing was said yet, and all is told. */
  private subscribed: string | null = null;
  link: Link = "connecting";

  add(listener: Listener, channels: readonly Channel[]): () => void {
    this.listeners.set(listener, channels);
    this.subscribe();
    if (this.socket === null) this.open();
    return () => {
      this.listeners.delete(listener);
      this.subscribe();
    };
  }

  watch = (watcher: () => void): (() => void) => {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  };

  close(): void {
    window.clearTimeout(this.timer);
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  private open(): void {
    window.clearTimeout(this.timer);
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/ws/dashboard`);
    this.socket = socket;
    let wasOpen = false;
    socket.onopen = () => {
      wasOpen = true;
      this.wait_ms = FIRST_WAIT_MS;
      this.subscribed = null;
      this.become("open");
      this.subscribe();
    };
    socket.onmessage = (event: MessageEvent<string>) => {
      const news = JSON.parse(event.data) as News;
      for (const listener of [...this.listeners.keys()]) listener(news);
    };
    socket.onclose = (event) => {
      if (this.socket !== socket) return;
      this.socket = null;
      this.become("lost");
      // a browser does not tell why it was not let in: a request renews the session, or ends it here
      const isIn = wasOpen && event.code !== LOGGED_OUT ? Promise.resolve() : call("GET", "auth/me").catch(() => undefined);
      void isIn.then(() => this.comeBack());
    };
  }

  private comeBack(): void {
    if (this.socket !== null || this.listeners.size === 0) return;
    window.clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.open(), this.wait_ms);
    this.wait_ms = Math.min(this.wait_ms * 2, LONGEST_WAIT_MS);
  }

  private subscribe(): void {
    const channels = [...new Set([...this.listeners.values()].flat())].sort();
    const wanted = channels.join();
    if (this.socket?.readyState !== WebSocket.OPEN || wanted === this.subscribed) return;
    this.subscribed = wanted;
    this.socket.send(JSON.stringify({ type: "subscribe", channels }));
  }

  private become(link: Link): void {
    this.link = link;
    for (const watcher of this.watchers) watcher();
  }
}

export const feed = new Feed();

/** Calls `listener` with what comes on these channels while the component is shown. */
export function useNews(channels: readonly Channel[], listener: Listener): void {
  const current = useRef(listener);
  current.current = listener;
  const names = channels.join();
  useEffect(
    () => feed.add((news) => current.current(news), (names ? names.split(",") : []) as Channel[]),
    [names],
  );
}

export function useLink(): Link {
  return useSyncExternalStore(feed.watch, () => feed.link);
}
