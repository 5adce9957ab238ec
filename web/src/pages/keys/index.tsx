import { Empty } from "../../components";
import { Page } from "../../layout/page";

export default function Keys() {
  return (
    <Page title="Keys">
      <Empty title="Nothing here yet" />
    </Page>
  );
}
