/** A line of a text, without its end. */
export interface Line {
  readonly text: string;
  /** The bytes of the text up to and with this line's end. */
  readonly end: number;
}

/** Yields the lines of a stream of UTF-8 as they arrive; lines may end with CR LF. */
export async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<Line, void, void> {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  const encoder = new TextEncoder();
  let rest = "";
  let end = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
      let begin = 0;
      for (let at = rest.indexOf("\n"); at >= 0; at = rest.indexOf("\n", begin)) {
        const text = rest.slice(begin, at);
        end += encoder.encode(text).length + 1;
        yield { text: text.endsWith("\r") ? text.slice(0, -1) : text, end };
        begin = at + 1;
      }
      rest = rest.slice(begin);
      if (done) {
        if (rest !== "") {
          yield { text: rest, end: end + encoder.encode(rest).length };
        }
        return;
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined); // it may have broken already
  }
}
