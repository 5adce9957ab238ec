import { Empty } from "../../components";
import { Page } from "../../layout/page";

export default function Config() {
  return (
    <Page title="Config">
      <Empty title="Nothing here yet" />
    </Page>
  );
}
