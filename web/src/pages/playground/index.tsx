import { Empty } from "../../components";
import { Page } from "../../layout/page";

export default function Playground() {
  return (
    <Page title="Playground">
      <Empty title="Nothing here yet" />
    </Page>
  );
}
