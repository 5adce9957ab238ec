/** What a prompt or an answer says, whatever dialect it is in, and streams put together again. Pure.

What is not understood is left out here: the page shows the text as it came beside it. */

export interface Said {
  who: string;
  parts: Part[];
}

export type Part =
  | { kind: "text" | "thought"; text: string }
  | { kind: "call"; name: string; text: string }
  | { kind: "result"; name: string; text: string }
  | { kind: "media"; text: string };

export interface StreamEvent {
  name: string | null;
  data: string;
}

type Data = Record<string, unknown>;

const isData = (value: unknown): value is Data => typeof value === "object" && value !== null && !Array.isArray(value);
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const text = (value: unknown): string => (typeof value === "string" ? value : value == null ? "" : JSON.stringify(value, null, 2));
const data = (value: unknown): Data => (isData(value) ? value : {});

/** null: it is no JSON. */
export function parsed(body: string): unknown {
  try {
    return JSON.parse(body) as unknown;
  } catch {
    return null;
  }
}

/** null: it is no stream of events. */
export function eventsOf(body: string): StreamEvent[] | null {
  if (!/^(?:\uFEFF)?(?:event|data|id|retry)?:/m.test(body.slice(0, 4096)) || /^\s*[[{]/.test(body)) return null;
  const found: StreamEvent[] = [];
  for (const block of body.split(/\r?\n\r?\n/)) {
    let name: string | null = null;
    const lines: string[] = [];
    for (const line of block.split(/\r?\n/)) {
      if (line.startsWith("event:")) name = line.slice(6).trim();
      else if (line.startsWith("data:")) lines.push(line.slice(5).replace(/^ /, ""));
    }
    if (lines.length || name) found.push({ name, data: lines.join("\n") });
  }
  return found;
}

export function promptOf(body: string): Said[] {
  const asked = data(parsed(body));
  const said: Said[] = [];
  const system = asked.system ?? asked.instructions ?? asked.systemInstruction ?? asked.system_instruction;
  if (system !== undefined) said.push({ who: "system", parts: partsOf(isData(system) && "parts" in system ? system.parts : system) });
  if (typeof asked.input === "string") said.push({ who: "user", parts: partsOf(asked.input) });
  else if (typeof asked.prompt === "string") said.push({ who: "user", parts: partsOf(asked.prompt) });
  for (const one of [...list(asked.messages), ...list(asked.input), ...list(asked.contents)]) {
    const message = data(one);
    const parts = partsOf(message.content ?? message.parts ?? (message.type && message.type !== "message" ? [message] : ""));
    for (const call of list(message.tool_calls)) parts.push(calledOf(data(call)));
    if (message.role === "tool") said.push({ who: "tool", parts: [{ kind: "result", name: text(message.tool_call_id), text: parts.map((part) => part.text).join("\n") }] });
    else said.push({ who: text(message.role) || "user", parts });
  }
  return said.filter((one) => one.parts.length > 0);
}

export function answerOf(body: string): Said[] {
  const events = eventsOf(body);
  const answer = data(unlisted(parsed(body)));
  const parts = events ? streamed(events) : wholeOf(answer);
  const failed = events ? events.map((one) => data(parsed(one.data))).map((one) => one.error ?? data(one.response).error).find((one) => one != null) : answer.error;
  const said: Said[] = parts.length ? [{ who: "assistant", parts }] : [];
  return failed == null ? said : [...said, { who: "error", parts: [{ kind: "text", text: text(data(failed).message ?? failed) }] }];
}

/** Gemini streams without events are one array. */
function unlisted(value: unknown): unknown {
  return Array.isArray(value) && value.length === 1 ? value[0] : value;
}

function wholeOf(answer: Data): Part[] {
  const choices = list(answer.choices).flatMap((one) => {
    const choice = data(one);
    const message = data(choice.message);
    const thought = text(message.reasoning_content ?? message.reasoning);
    return [
      ...(thought ? [{ kind: "thought", text: thought } as Part] : []),
      ...partsOf(message.content ?? choice.text),
      ...list(message.tool_calls).map((call) => calledOf(data(call))),
    ];
  });
  const candidates = list(answer.candidates).flatMap((one) => partsOf(data(data(one).content).parts));
  const output = list(answer.output).flatMap((one) => (data(one).type === "message" ? partsOf(data(one).content) : partsOf([one])));
  return [...choices, ...candidates, ...output, ...(answer.type === "message" ? partsOf(answer.content) : [])];
}

function calledOf(call: Data): Part {
  const named = data(call.function ?? call.functionCall ?? call.custom ?? call);
  return { kind: "call", name: text(named.name), text: text(named.arguments ?? named.args ?? named.input) };
}

function partsOf(content: unknown): Part[] {
  if (content == null) return [];
  if (typeof content === "string") return content ? [{ kind: "text", text: content }] : [];
  return list(Array.isArray(content) ? content : [content]).flatMap((one): Part[] => {
    if (typeof one === "string") return one ? [{ kind: "text", text: one }] : [];
    const part = data(one);
    if (part.functionCall) return [calledOf(part)];
    if (part.functionResponse) return [{ kind: "result", name: text(data(part.functionResponse).name), text: text(data(part.functionResponse).response) }];
    if (part.thought === true) return [{ kind: "thought", text: text(part.text) }];
    switch (part.type) {
      case "tool_use":
      case "server_tool_use":
      case "function_call":
      case "custom_tool_call":
        return [calledOf(part)];
      case "tool_result":
      case "function_call_output":
      case "custom_tool_call_output":
        return [{ kind: "result", name: text(part.tool_use_id ?? part.call_id), text: plain(part.content ?? part.output) }];
      case "thinking":
        return [{ kind: "thought", text: text(part.thinking) }];
      case "redacted_thinking":
        return [{ kind: "thought", text: "(encrypted)" }];
      case "reasoning": {
        const summary = plain(part.summary) || plain(part.content);
        return [{ kind: "thought", text: summary || "(encrypted)" }];
      }
      default:
        if (typeof part.text === "string") return part.text ? [{ kind: "text", text: part.text }] : [];
        if (typeof part.refusal === "string") return [{ kind: "text", text: part.refusal }];
        return [{ kind: "media", text: mediaOf(part) }];
    }
  });
}

function plain(content: unknown): string {
  if (typeof content === "string") return content;
  return list(content).map((one) => text(data(one).text ?? one)).join("\n");
}

function mediaOf(part: Data): string {
  const address = text(data(part.image_url).url ?? part.image_url ?? part.file_url ?? data(part.fileData).fileUri ?? data(part.source).url);
  if (address) {
    const [, kind, written] = /^data:([^;,]*)[^,]*,(.*)$/s.exec(address) ?? [];
    return written === undefined ? address : `${kind || "data"}, about ${aboutKb(written)} kB`;
  }
  const inline = data(part.inlineData ?? part.inline_data ?? part.source ?? part.input_audio ?? part.file);
  const type = text(inline.mimeType ?? inline.mime_type ?? inline.media_type ?? inline.format ?? part.type ?? "part");
  const size = text(inline.data ?? inline.file_data).length;
  return size ? `${type}, about ${aboutKb(text(inline.data ?? inline.file_data))} kB` : type;
}

/** What base64 stands for. */
const aboutKb = (written: string): number => Math.max(1, Math.round((written.length * 3) / 4 / 1000));

/** Pieces of the same thing, in the order in which they began. */
class Gathered {
  private readonly found = new Map<string, Part>();

  add(key: string, part: Part): void {
    const before = this.found.get(key);
    if (before === undefined) this.found.set(key, { ...part });
    else {
      before.text += part.text;
      if ("name" in before && "name" in part && !before.name) before.name = part.name;
    }
  }

  get parts(): Part[] {
    return [...this.found.values()].filter((one) => one.text !== "" || one.kind === "call");
  }
}

function streamed(events: readonly StreamEvent[]): Part[] {
  const gathered = new Gathered();
  for (const event of events) {
    const piece = data(parsed(event.data));
    chatPiece(gathered, piece);
    messagesPiece(gathered, piece);
    responsesPiece(gathered, piece);
    for (const candidate of list(piece.candidates)) {
      for (const part of partsOf(data(data(candidate).content).parts)) gathered.add(`gemini ${part.kind}${part.kind === "call" ? Math.random() : ""}`, part);
    }
  }
  return gathered.parts;
}

function chatPiece(gathered: Gathered, piece: Data): void {
  for (const one of list(piece.choices)) {
    const choice = data(one);
    const delta = data(choice.delta);
    const at = text(choice.index);
    const thought = delta.reasoning_content ?? delta.reasoning;
    if (typeof thought === "string") gathered.add(`thought ${at}`, { kind: "thought", text: thought });
    const said = delta.content ?? choice.text;
    if (typeof said === "string") gathered.add(`text ${at}`, { kind: "text", text: said });
    for (const call of list(delta.tool_calls)) {
      const named = data(data(call).function);
      gathered.add(`call ${at} ${text(data(call).index)}`, { kind: "call", name: text(named.name), text: typeof named.arguments === "string" ? named.arguments : "" });
    }
  }
}

function messagesPiece(gathered: Gathered, piece: Data): void {
  const key = `block ${text(piece.index)}`;
  if (piece.type === "content_block_start") {
    const block = data(piece.content_block);
    if (block.type === "tool_use" || block.type === "server_tool_use") gathered.add(key, { kind: "call", name: text(block.name), text: "" });
    else for (const part of partsOf([block])) gathered.add(key, part);
  } else if (piece.type === "content_block_delta") {
    const delta = data(piece.delta);
    if (typeof delta.text === "string") gathered.add(key, { kind: "text", text: delta.text });
    else if (typeof delta.thinking === "string") gathered.add(key, { kind: "thought", text: delta.thinking });
    else if (typeof delta.partial_json === "string") gathered.add(key, { kind: "call", name: "", text: delta.partial_json });
  }
}

function responsesPiece(gathered: Gathered, piece: Data): void {
  const key = `item ${text(piece.output_index)} ${text(piece.content_index ?? piece.summary_index)}`;
  const delta = typeof piece.delta === "string" ? piece.delta : "";
  switch (piece.type) {
    case "response.output_item.added": {
      const item = data(piece.item);
      if (item.type === "function_call") gathered.add(`call ${text(piece.output_index)}`, { kind: "call", name: text(item.name), text: "" });
      break;
    }
    case "response.output_text.delta":
    case "response.refusal.delta":
      gathered.add(key, { kind: "text", text: delta });
      break;
    case "response.reasoning_summary_text.delta":
    case "response.reasoning_text.delta":
      gathered.add(`thought ${key}`, { kind: "thought", text: delta });
      break;
    case "response.function_call_arguments.delta":
      gathered.add(`call ${text(piece.output_index)}`, { kind: "call", name: "", text: delta });
      break;
  }
}
