import type { Exchange } from "../../api/types";
import { duration } from "../../format";
import { lineOf, PHASES } from "./timeline";
import type { Lane, Line, Phase } from "./timeline";

/** Where the time went, to scale: one lane for each attempt. */
export function TimeLine({ of }: { of: Exchange }) {
  const line = lineOf(of);
  return (
    <div className="time" role="group" aria-label="Where the time went">
      <ol className="lanes">
        {line.lanes.map((lane) => (
          <LaneOf key={lane.key} lane={lane} line={line} of={of} />
        ))}
      </ol>
      <div className="scale" aria-hidden="true">
        <span className="lane-name" />
        <div className="lane-room">
          {line.ticks.map((at) => (
            <i key={at} style={{ left: `${(at / line.total_ms) * 100}%` }}>{at ? duration(at) : "0"}</i>
          ))}
        </div>
        <span className="lane-took" />
      </div>
      <p className="legend-of-phases">
        {(Object.entries(PHASES) as [Phase, string][]).filter(([phase]) => line.lanes.some((lane) => lane.bars.some((bar) => bar.phase === phase))).map(([phase, text]) => (
          <span key={phase}><i className="bar" data-phase={phase} data-tone="quiet" /> {text}</span>
        ))}
        {line.first_ms !== null && <span><i className="first-mark" /> first piece for the client</span>}
      </p>
    </div>
  );
}

function LaneOf({ lane, line, of }: { lane: Lane; line: Line; of: Exchange }) {
  const attempt = of.attempt_list.find((one) => one.number === lane.attempt);
  const tone = !attempt ? "own" : attempt.ending === "answered" ? "good" : attempt.ending === null ? "info" : "bad";
  const name = attempt ? attempt.provider : lane.key === "in" ? "Accept and queue" : "To the client";
  const own = lane.bars.filter((bar) => bar.phase !== "pause");
  const took = own.reduce((sum, bar) => sum + bar.to_ms - bar.from_ms, 0);
  return (
    <li className="lane">
      <span className="lane-name" title={attempt ? [attempt.provider, attempt.credential, attempt.model].filter(Boolean).join(" / ") : undefined}>
        {attempt && <b>{attempt.number}</b>}
        <span>{name}</span>
      </span>
      <div className="lane-room">
        {line.ticks.map((at) => <i key={at} className="tick" style={{ left: `${(at / line.total_ms) * 100}%` }} />)}
        {lane.bars.map((bar) => (
          <i
            key={bar.phase}
            className="bar"
            data-phase={bar.phase}
            data-tone={tone}
            title={`${PHASES[bar.phase]}: ${duration(bar.to_ms - bar.from_ms)}`}
            style={{ left: `${(bar.from_ms / line.total_ms) * 100}%`, width: `${Math.max(0.25, ((bar.to_ms - bar.from_ms) / line.total_ms) * 100)}%` }}
          />
        ))}
        {line.first_ms !== null && <i className="first" style={{ left: `${Math.min(100, (line.first_ms / line.total_ms) * 100)}%` }} />}
      </div>
      <span className="lane-took">{duration(took)}</span>
      <span className="hidden-but-read">{lane.bars.map((bar) => `${PHASES[bar.phase]} ${duration(bar.to_ms - bar.from_ms)}`).join(", ")}</span>
    </li>
  );
}
