import { useEffect, useState } from "react";

import { useLive } from "../bind/live";
import { Painter } from "./painter";

/** The painter of a page's charts. */
export function usePainter(): Painter {
  const { loop } = useLive();
  const [painter] = useState(() => new Painter(loop));
  useEffect(() => painter.open(), [painter]);
  return painter;
}
