import { Empty } from "../../components";
import { Page } from "../../layout/page";

export default function Request() {
  return (
    <Page title="Request">
      <Empty title="Nothing here yet" />
    </Page>
  );
}
