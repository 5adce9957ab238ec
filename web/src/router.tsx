/** Every view and its URL. A page is fetched when it is first opened; its module exports it as `default`. */

import { lazy } from "react";
import { createBrowserRouter } from "react-router";

import { Frame } from "./layout/frame";
import { Broken, Nowhere } from "./layout/nowhere";
import { Signed } from "./layout/session";
import { Login, Welcome } from "./pages/login";

const Overview = lazy(() => import("./pages/overview"));
const Live = lazy(() => import("./pages/live"));
const Requests = lazy(() => import("./pages/requests"));
const Request = lazy(() => import("./pages/request"));
const Usage = lazy(() => import("./pages/usage"));
const Providers = lazy(() => import("./pages/providers"));
const Routing = lazy(() => import("./pages/routing"));
const Keys = lazy(() => import("./pages/keys"));
const Config = lazy(() => import("./pages/config"));
const Playground = lazy(() => import("./pages/playground"));
const System = lazy(() => import("./pages/system"));

export const router = createBrowserRouter([
  { path: "/login", element: <Login /> },
  { path: "/welcome", element: <Welcome /> },
  {
    path: "/",
    element: (
      <Signed>
        <Frame />
      </Signed>
    ),
    errorElement: <Broken />,
    children: [
      {
        errorElement: <Broken />,
        children: [
          { index: true, element: <Overview /> },
          { path: "live", element: <Live /> },
          { path: "requests", element: <Requests /> },
          { path: "requests/:id", element: <Request /> },
          { path: "usage/*", element: <Usage /> },
          { path: "providers/*", element: <Providers /> },
          { path: "routing/*", element: <Routing /> },
          { path: "keys/*", element: <Keys /> },
          { path: "config/*", element: <Config /> },
          { path: "playground/*", element: <Playground /> },
          { path: "system/*", element: <System /> },
          { path: "*", element: <Nowhere /> },
        ],
      },
    ],
  },
]);
