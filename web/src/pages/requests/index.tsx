import { Empty } from "../../components";
import { Page } from "../../layout/page";

export default function Requests() {
  return (
    <Page title="Requests">
      <Empty title="Nothing here yet" />
    </Page>
  );
}
