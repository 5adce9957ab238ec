import { Empty } from "../../components";
import { Page } from "../../layout/page";

export default function Providers() {
  return (
    <Page title="Providers">
      <Empty title="Nothing here yet" />
    </Page>
  );
}
