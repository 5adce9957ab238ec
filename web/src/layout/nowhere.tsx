import { Link, useRouteError } from "react-router";

import { Button, Empty } from "../components";
import { Page } from "./page";

/** A URL that no page has. */
export function Nowhere() {
  return (
    <Page title="No such page">
      <Empty title="There is nothing at this address" actions={<Link className="button" to="/">To the overview</Link>}>
        It may be the address of an older version.
      </Empty>
    </Page>
  );
}

/** Whether a part of the page is not there any more. */
const isRenewed = (error: unknown) => error instanceof TypeError && /dynamically imported|module script/i.test(error.message);

/** A page that failed. The rest goes on. */
export function Broken() {
  const error = useRouteError();
  return (
    <Page title="This page failed">
      <Empty title="This page failed" actions={<Button onClick={() => location.reload()}>Load it anew</Button>}>
        {isRenewed(error) ? "The gateway was renewed since this page was opened." : error instanceof Error ? error.message : "It did not say why."}
      </Empty>
    </Page>
  );
}
