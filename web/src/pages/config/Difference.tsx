import { useMemo } from "react";
import classes from "./config.module.css";
import { compared } from "./lines";

const SIGN = { same: " ", added: "+", removed: "−" } as const;
const SAID = { same: "", added: "added: ", removed: "removed: " } as const;

/** Two texts line by line, with what changed marked by sign and colour. */
export function Difference(props: { before: string; after: string; label: string }) {
  const lines = useMemo(() => compared(props.before, props.after), [props.before, props.after]);
  if (lines.length === 0) return <p className={classes.same}>No line differs.</p>;
  return (
    <div className={classes.difference} role="region" aria-label={props.label} tabIndex={0}>
      <table>
        <tbody>
          {lines.map((line, at) =>
            line.kind === "gap" ? (
              <tr key={at} className={classes.gap}>
                <td colSpan={4}>{line.count === 1 ? "1 line" : `${line.count} lines`} unchanged</td>
              </tr>
            ) : (
              <tr key={at} className={classes[line.kind]}>
                <td className={classes.number}>{line.before}</td>
                <td className={classes.number}>{line.after}</td>
                <td className={classes.sign} aria-hidden>
                  {SIGN[line.kind]}
                </td>
                <td className={classes.text}>
                  {SAID[line.kind] && <span className={classes.spoken}>{SAID[line.kind]}</span>}
                  {line.text || " "}
                </td>
              </tr>
            ),
          )}
        </tbody>
      </table>
    </div>
  );
}
