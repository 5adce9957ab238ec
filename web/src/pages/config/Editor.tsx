import { type UIEvent, useMemo, useRef } from "react";
import classes from "./config.module.css";
import { tokensOf } from "./toml";

/** A text area with line numbers and colours. `marked` lines, from 1, have a problem. */
export function Editor(props: {
  value: string;
  onChange: (value: string) => void;
  marked: ReadonlySet<number>;
  isReadOnly?: boolean;
  label: string;
  describedBy?: string;
}) {
  const behind = useRef<HTMLDivElement>(null);
  const lines = useMemo(() => props.value.split("\n"), [props.value]);
  const follow = (event: UIEvent<HTMLTextAreaElement>) => {
    if (!behind.current) return;
    behind.current.scrollTop = event.currentTarget.scrollTop;
    behind.current.scrollLeft = event.currentTarget.scrollLeft;
  };
  return (
    <div className={classes.editor}>
      <div className={classes.behind} ref={behind} aria-hidden>
        {lines.map((line, at) => (
          <div key={at} className={props.marked.has(at + 1) ? classes.wrong : undefined}>
            <span className={classes.line}>{at + 1}</span>
            {tokensOf(line).map((token, place) => (
              <span key={place} className={classes[`is_${token.kind}`]}>
                {token.text}
              </span>
            ))}
          </div>
        ))}
      </div>
      <textarea
        className={classes.area}
        id="config-text"
        value={props.value}
        onChange={(event) => props.onChange(event.currentTarget.value)}
        onScroll={follow}
        readOnly={props.isReadOnly ?? false}
        spellCheck={false}
        autoComplete="off"
        autoCapitalize="off"
        autoCorrect="off"
        wrap="off"
        aria-label={props.label}
        aria-describedby={props.describedBy}
      />
    </div>
  );
}
