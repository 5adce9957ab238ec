/** How each dialect is asked, and where its answers keep what is shown. */

export type DialectName = "openai-chat" | "openai-responses" | "anthropic-messages" | "gemini";

export interface Question {
  model: string;
  system: string;
  prompt: string;
  /** None: what the provider takes by default. */
  maxTokens: number | null;
  temperature: number | null;
  isStreamed: boolean;
}

export interface Tokens {
  input: number | null;
  output: number | null;
}

/** What one event, or one whole answer, adds. */
export interface Told {
  text: string;
  thought: string;
  tokens: Tokens | null;
  error: string | null;
}

interface Dialect {
  label: string;
  path: (question: Question) => string;
  body: (question: Question) => Record<string, unknown>;
  /** Of an event of a stream. */
  event: (said: Json) => Partial<Told>;
  /** Of an answer in one piece. */
  whole: (said: Json) => Partial<Told>;
}

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** The value at a path of names and positions, or null where there is none. */
export function at(said: Json | undefined, ...path: (string | number)[]): Json {
  let found: Json | undefined = said;
  for (const step of path) {
    if (typeof step === "number") found = Array.isArray(found) ? found[step] : null;
    else if (found !== null && typeof found === "object" && !Array.isArray(found)) {
      found = Object.hasOwn(found, step) ? found[step] : null;
    } else return null;
  }
  return found ?? null;
}

const text = (said: Json): string => (typeof said === "string" ? said : "");
const count = (said: Json): number | null => (typeof said === "number" ? said : null);
const list = (said: Json): Json[] => (Array.isArray(said) ? said : []);

function tokens(said: Json, input: string, output: string): Tokens | null {
  const found = { input: count(at(said, input)), output: count(at(said, output)) };
  return found.input === null && found.output === null ? null : found;
}

/** The message of an error in any dialect; null where it is none. */
export function errorOf(said: Json): string | null {
  const error = at(said, "error");
  if (error === null) return null;
  if (typeof error === "string") return text(at(said, "message")) || error;
  return text(at(error, "message")) || JSON.stringify(error);
}

function optional(values: Record<string, number | null>): Record<string, number> {
  return Object.fromEntries(Object.entries(values).filter((pair): pair is [string, number] => pair[1] !== null));
}

const gemini = (said: Json): Partial<Told> => {
  const parts = list(at(said, "candidates", 0, "content", "parts"));
  const joined = (isThought: boolean) =>
    parts
      .filter((part) => (at(part, "thought") === true) === isThought)
      .map((part) => text(at(part, "text")))
      .join("");
  return {
    text: joined(false),
    thought: joined(true),
    tokens: tokens(at(said, "usageMetadata"), "promptTokenCount", "candidatesTokenCount"),
  };
};

export const DIALECTS: Record<DialectName, Dialect> = {
  "openai-chat": {
    label: "OpenAI Chat Completions",
    path: () => "v1/chat/completions",
    body: (asked) => ({
      model: asked.model,
      messages: [...(asked.system ? [{ role: "system", content: asked.system }] : []), { role: "user", content: asked.prompt }],
      ...optional({ max_tokens: asked.maxTokens, temperature: asked.temperature }),
      ...(asked.isStreamed ? { stream: true, stream_options: { include_usage: true } } : {}),
    }),
    event: (said) => ({
      text: text(at(said, "choices", 0, "delta", "content")),
      thought: text(at(said, "choices", 0, "delta", "reasoning_content")),
      tokens: tokens(at(said, "usage"), "prompt_tokens", "completion_tokens"),
    }),
    whole: (said) => ({
      text: text(at(said, "choices", 0, "message", "content")),
      thought: text(at(said, "choices", 0, "message", "reasoning_content")),
      tokens: tokens(at(said, "usage"), "prompt_tokens", "completion_tokens"),
    }),
  },
  "openai-responses": {
    label: "OpenAI Responses",
    path: () => "v1/responses",
    body: (asked) => ({
      model: asked.model,
      input: asked.prompt,
      ...(asked.system ? { instructions: asked.system } : {}),
      ...optional({ max_output_tokens: asked.maxTokens, temperature: asked.temperature }),
      ...(asked.isStreamed ? { stream: true } : {}),
    }),
    event: (said) => {
      switch (at(said, "type")) {
        case "response.output_text.delta":
        case "response.refusal.delta":
          return { text: text(at(said, "delta")) };
        case "response.reasoning_summary_text.delta":
        case "response.reasoning_text.delta":
          return { thought: text(at(said, "delta")) };
        case "response.completed":
        case "response.incomplete":
          return { tokens: tokens(at(said, "response", "usage"), "input_tokens", "output_tokens") };
        case "response.failed":
          return { error: text(at(said, "response", "error", "message")) || "The response failed." };
        case "error":
          return { error: text(at(said, "message")) || errorOf(said) || "The stream failed." };
        default:
          return {};
      }
    },
    whole: (said) => {
      const items = list(at(said, "output"));
      const pieces = items.filter((item) => at(item, "type") === "message").flatMap((item) => list(at(item, "content")));
      const thoughts = items.filter((item) => at(item, "type") === "reasoning").flatMap((item) => list(at(item, "summary")));
      return {
        text: pieces.map((piece) => text(at(piece, "text")) || text(at(piece, "refusal"))).join(""),
        thought: thoughts.map((piece) => text(at(piece, "text"))).join("\n"),
        tokens: tokens(at(said, "usage"), "input_tokens", "output_tokens"),
      };
    },
  },
  "anthropic-messages": {
    label: "Anthropic Messages",
    path: () => "v1/messages",
    body: (asked) => ({
      model: asked.model,
      max_tokens: asked.maxTokens ?? 1024,
      ...(asked.system ? { system: asked.system } : {}),
      messages: [{ role: "user", content: asked.prompt }],
      ...optional({ temperature: asked.temperature }),
      ...(asked.isStreamed ? { stream: true } : {}),
    }),
    event: (said) => {
      switch (at(said, "type")) {
        case "message_start":
          return { tokens: tokens(at(said, "message", "usage"), "input_tokens", "output_tokens") };
        case "content_block_delta":
          return { text: text(at(said, "delta", "text")), thought: text(at(said, "delta", "thinking")) };
        case "message_delta":
          return { tokens: tokens(at(said, "usage"), "input_tokens", "output_tokens") };
        default:
          return {};
      }
    },
    whole: (said) => {
      const blocks = list(at(said, "content"));
      return {
        text: blocks.map((block) => text(at(block, "text"))).join(""),
        thought: blocks.map((block) => text(at(block, "thinking"))).join(""),
        tokens: tokens(at(said, "usage"), "input_tokens", "output_tokens"),
      };
    },
  },
  gemini: {
    label: "Gemini generateContent",
    path: (asked) =>
      `v1beta/models/${asked.model.split("/").map(encodeURIComponent).join("/")}:` +
      (asked.isStreamed ? "streamGenerateContent?alt=sse" : "generateContent"),
    body: (asked) => {
      const settings = optional({ maxOutputTokens: asked.maxTokens, temperature: asked.temperature });
      return {
        contents: [{ role: "user", parts: [{ text: asked.prompt }] }],
        ...(asked.system ? { systemInstruction: { parts: [{ text: asked.system }] } } : {}),
        ...(Object.keys(settings).length ? { generationConfig: settings } : {}),
      };
    },
    event: gemini,
    whole: gemini,
  },
};

export const NOTHING: Told = { text: "", thought: "", tokens: null, error: null };

/** What was told so far, and what one event or answer adds to it. Later counts of tokens replace earlier ones. */
export function added(so_far: Told, dialect: DialectName, said: Json, isEvent: boolean): Told {
  const read = DIALECTS[dialect];
  const more = isEvent ? read.event(said) : read.whole(said);
  const newer = more.tokens ?? null;
  return {
    text: so_far.text + (more.text ?? ""),
    thought: so_far.thought + (more.thought ?? ""),
    tokens: newer
      ? {
          input: newer.input ?? so_far.tokens?.input ?? null,
          output: newer.output ?? so_far.tokens?.output ?? null,
        }
      : so_far.tokens,
    error: so_far.error ?? more.error ?? errorOf(said),
  };
}
