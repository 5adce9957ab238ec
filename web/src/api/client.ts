/** Every request to the admin API goes through here. Errors are always `ApiError`. */

export interface Problem {
  path: string;
  message: string;
}

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    /** What else the server told: problems of a form, the difference of a stale edit. */
    readonly details: Record<string, unknown> = {},
  ) {
    super(message);
  }

  /** What is wrong with which field; empty where the error is about something else. */
  get problems(): Problem[] {
    const problems = this.details.problems;
    return Array.isArray(problems) ? (problems as Problem[]) : [];
  }
}

type Method = "GET" | "POST" | "PATCH" | "PUT" | "DELETE";

export type Query = Record<string, string | number | boolean | null | undefined>;

interface Options {
  query?: Query;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

const BASE = "/api/dashboard/";

/** Told when a session is over and cannot be renewed: true once somebody has signed in again. */
type SignedOut = () => Promise<boolean>;
const toNobody: SignedOut = () => Promise.resolve(false);
let signedOut = toNobody;
export function onSignedOut(listener: SignedOut | null): void {
  signedOut = listener ?? toNobody;
}

export function get<T>(path: string, query?: Query, signal?: AbortSignal): Promise<T> {
  return call<T>("GET", path, { query, signal });
}
export function post<T>(path: string, body?: unknown, options: Options = {}): Promise<T> {
  return call<T>("POST", path, { ...options, body });
}
export function patch<T>(path: string, body: unknown, options: Options = {}): Promise<T> {
  return call<T>("PATCH", path, { ...options, body });
}
export function remove<T>(path: string, options: Options = {}): Promise<T> {
  return call<T>("DELETE", path, options);
}

/** What makes a session or ends one: a refusal of these is an answer. */
const DOORS: ReadonlySet<string> = new Set(["auth/login", "auth/refresh", "auth/first", "auth/logout"]);

/** `path` is below `/api/dashboard/`, or whole; its variable parts are the caller's to encode (`part`). */
export async function call<T>(method: Method, path: string, options: Options = {}): Promise<T> {
  const response = await send(method, path, options);
  if (response.ok) return (await read(response)) as T;
  throw await asError(response);
}

/** The answer, whatever it says. Where the session is over it is renewed once, or waited for until somebody has
 * signed in again, and the question asked again. */
export async function send(method: Method, path: string, options: Options = {}): Promise<Response> {
  const response = await sendOnce(method, path, options);
  if (!isOver(response) || DOORS.has(path)) return response;
  if (!(await renew()) && !(await signedOut())) return response;
  return sendOnce(method, path, options);
}

/** A 401 of our own, not one that a provider gave. */
function isOver(response: Response): boolean {
  return response.status === 401 && response.headers.has("WWW-Authenticate");
}

/** A name as one part of a path. */
export function part(name: string): string {
  return encodeURIComponent(name);
}

function sendOnce(method: Method, path: string, options: Options): Promise<Response> {
  const headers: Record<string, string> = { Accept: "application/json", ...options.headers };
  headers["X-Requested-With"] = "llmitm";
  const body = options.body === undefined ? undefined : JSON.stringify(options.body);
  if (body !== undefined) headers["Content-Type"] = "application/json";
  return fetch((path.startsWith("/") ? path : BASE + path) + asQuery(options.query), {
    method,
    headers,
    body,
    signal: options.signal,
    credentials: "same-origin",
  }).catch((error: unknown) => {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", "The gateway does not answer. Is it still running?");
  });
}

export function asQuery(query: Query = {}): string {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") found.set(name, String(value));
  }
  const text = found.toString();
  return text && `?${text}`;
}

let renewing: Promise<boolean> | null = null;

/** One renewal at a time, however many requests were refused, and in however many tabs. */
function renew(): Promise<boolean> {
  renewing ??= alone(renewOnce).finally(() => (renewing = null));
  return renewing;
}

const RENEWED = "llmitm-renewed";
/** Another tab's renewal counts here for so long: the token that it used is spent. */
const COUNTS_MS = 10_000;

async function renewOnce(): Promise<boolean> {
  if (Date.now() - Number(localStorage.getItem(RENEWED)) < COUNTS_MS) return true;
  const response = await sendOnce("POST", "auth/refresh", { body: {} });
  if (response.ok) localStorage.setItem(RENEWED, String(Date.now()));
  return response.ok;
}

/** In one tab at a time, where the browser can do that: it cannot on plain HTTP from elsewhere. */
async function alone(work: () => Promise<boolean>): Promise<boolean> {
  return "locks" in navigator ? await navigator.locks.request(RENEWED, work) : work();
}

async function read(response: Response): Promise<unknown> {
  if (response.status === 204) return null;
  const isJson = response.headers.get("content-type")?.includes("json");
  return isJson ? response.json() : response.text();
}

async function asError(response: Response): Promise<ApiError> {
  const told = await read(response).catch(() => null);
  if (told !== null && typeof told === "object") {
    const { error, message, ...details } = told as Record<string, unknown>;
    return new ApiError(response.status, String(error ?? "error"), String(message ?? response.statusText), details);
  }
  return new ApiError(response.status, "error", `The gateway answered with status ${response.status}.`);
}
