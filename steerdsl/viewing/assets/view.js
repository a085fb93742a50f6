// What moves on the pages of `steerdsl view`.

import { startDial } from "./dial.js";
import { startSweeps } from "./sweeps.js";

const item = document.body.dataset.item;
if (item !== undefined) {
  const dial = document.getElementById("panel");
  const turn = dial === null ? null : startDial(dial, item);
  startSweeps(item, turn);
}
