import { Empty } from "../../components";
import { Page } from "../../layout/page";

export default function Overview() {
  return (
    <Page title="Overview">
      <Empty title="Nothing here yet" />
    </Page>
  );
}
