import { Empty } from "../../components";
import { Page } from "../../layout/page";

export default function System() {
  return (
    <Page title="System">
      <Empty title="Nothing here yet" />
    </Page>
  );
}
