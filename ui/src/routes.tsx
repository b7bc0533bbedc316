/** Which page an address shows. Charts come with the pages that have them. */
import { Suspense, lazy } from "react";
import { Link, Route, Switch } from "wouter";

import { FleetPage } from "./pages/fleet/FleetPage";
import { Boundary } from "./shell/Boundary";
import { Shell } from "./shell/Shell";

const GpuPage = lazy(() => import("./pages/gpu/GpuPage"));
const HostPage = lazy(() => import("./pages/host/HostPage"));
const PipelinePage = lazy(() => import("./pages/pipeline/PipelinePage"));

export function Routes() {
  return (
    <Shell>
      <Boundary>
        <Suspense fallback={<p className="note">Loading…</p>}>
          <Switch>
            <Route path="/">
              <FleetPage />
            </Route>
            <Route path="/hosts/:host">{({ host }) => <HostPage key={host} host={decodeURIComponent(host)} />}</Route>
            <Route path="/gpus/:id">{({ id }) => <GpuPage key={id} id={decodeURIComponent(id)} />}</Route>
            <Route path="/pipeline">
              <PipelinePage />
            </Route>
            <Route>
              <section className="empty">
                <h1>There is no such page</h1>
                <p>
                  The address may be misspelt. The <Link href="/">fleet</Link> is a good place to start.
                </p>
              </section>
            </Route>
          </Switch>
        </Suspense>
      </Boundary>
    </Shell>
  );
}
