/** Server-sent events, read from pieces that end anywhere. */

export interface ServerEvent {
  name: string;
  data: string;
}

export class EventReader {
  private rest = "";
  private name = "";
  private data: string[] = [];

  /** The events that a piece brings to their end. */
  read(piece: string): ServerEvent[] {
    const found: ServerEvent[] = [];
    this.rest += piece;
    // a CR that ends the piece may be half of a line's end
    const lines = this.rest.split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "") {
        if (this.data.length) found.push({ name: this.name, data: this.data.join("\n") });
        this.name = "";
        this.data = [];
      } else if (!line.startsWith(":")) this.field(line);
    }
    return found;
  }

  private field(line: string): void {
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.data.push(value);
    else if (field === "event") this.name = value;
  }
}
