import { Empty } from "../../components";
import { Page } from "../../layout/page";

export default function Live() {
  return (
    <Page title="Live">
      <Empty title="Nothing here yet" />
    </Page>
  );
}
