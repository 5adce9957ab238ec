import { Empty } from "../../components";
import { Page } from "../../layout/page";

export default function Routing() {
  return (
    <Page title="Routing">
      <Empty title="Nothing here yet" />
    </Page>
  );
}
