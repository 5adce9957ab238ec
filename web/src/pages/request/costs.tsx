import type { Attempt, Exchange } from "../../api/types";
import { Badge, Empty, Facts, Note } from "../../components";
import { count, words } from "../../format";

/** How the cost comes about, line by line, for each attempt that cost something. */
export function Costs({ of }: { of: Exchange }) {
  const billed = of.attempt_list.filter((one) => one.bill !== null);
  if (billed.length === 0) return <Empty title="No tokens were told">The provider did not say how many tokens it took{of.state === "running" ? " yet" : ""}.</Empty>;
  return (
    <div className="stack wide">
      {billed.map((one) => <BillOf key={one.number} of={one} isOnly={billed.length === 1} />)}
      {billed.length > 1 && (
        <p className="row apart sum"><b>All attempts</b> <b>${of.cost_usd ?? "–"}</b></p>
      )}
      <Tokens of={of} />
    </div>
  );
}

function BillOf({ of, isOnly }: { of: Attempt; isOnly: boolean }) {
  const bill = of.bill!;
  return (
    <section className="stack">
      {!isOnly && <h3>Attempt {of.number}, {of.provider}</h3>}
      <div className="table-frame">
        <table className="table bill">
          <caption className="hidden-but-read">Cost of attempt {of.number}</caption>
          <thead>
            <tr><th scope="col">For</th><th scope="col" className="number">Count</th><th scope="col" className="number">Price</th><th scope="col" className="number">Cost</th></tr>
          </thead>
          <tbody>
            {bill.lines.map((line) => (
              <tr key={line.kind}>
                <td>{words(line.kind)}</td>
                <td className="number">{count(line.count)} {line.unit}{line.count === 1 ? "" : "s"}</td>
                <td className="number second">${line.price_usd} / {line.price_per === 1_000_000 ? "M" : "1000"}</td>
                <td className="number">${line.cost_usd}</td>
              </tr>
            ))}
          </tbody>
          <tfoot>
            <tr><th scope="row" colSpan={3}>Recorded</th><td className="number"><b>{of.cost_usd === null ? "–" : `$${of.cost_usd}`}</b></td></tr>
          </tfoot>
        </table>
      </div>
      {bill.why_unknown && <Note tone="warn">{bill.why_unknown}</Note>}
      {bill.lacks.length > 0 && <Note tone="warn">No price is known for {bill.lacks.map(words).join(", ")}.</Note>}
      {!bill.is_as_recorded && <Note>Prices have changed since. The lines show those of now; the recorded amount stands.</Note>}
      <p className="quiet">
        Prices of {bill.price_model ?? "an unknown model"}, list {bill.price_version}. {of.is_cost_whole === false && <Badge tone="warn">not all has a price</Badge>}
      </p>
    </section>
  );
}

function Tokens({ of }: { of: Exchange }) {
  const told = Object.entries(of.tokens).filter(([, value]) => value !== null && value !== 0 && value !== "");
  if (told.length === 0) return null;
  return (
    <details>
      <summary>All that was counted</summary>
      <Facts of={told.map(([name, value]) => [words(name), typeof value === "number" ? count(value) : String(value)] as const)} />
    </details>
  );
}
