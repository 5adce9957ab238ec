import { Empty } from "../../components";
import { Page } from "../../layout/page";

export default function Usage() {
  return (
    <Page title="Usage">
      <Empty title="Nothing here yet" />
    </Page>
  );
}
