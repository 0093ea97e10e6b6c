// The places where a person can look: channels, the app's Home tab, and the direct messages with the app.
import { draw } from "./blocks.js";
import { $, node } from "./text.js";
import { send } from "./wire.js";

const HOME = "home";
const FORM_SHORTCUT = "estimate_workload";
let user = "";
let place = "C0ALERTS";
let go = () => {}; // shows another place
let answered = () => {}; // what to do with an answer of the server
let drawn = null; // what the Home tab was drawn from
const seen = new Map(); // the newest message seen, by place

export const here = () => place;
export const isHome = () => place === HOME;

// Begins anew for another person.
export function placesOf(person, onGo, onAnswer) {
  if (user !== person && place.startsWith("D")) place = HOME;
  user = person;
  go = onGo;
  answered = onAnswer;
  drawn = null;
  seen.clear();
  $("places").replaceChildren();
}

export function showPlaces(places, home) {
  for (const { id, name, last } of places) {
    const tab = $(`place-${id}`) ?? added(id, name);
    if (id === place || !seen.has(id)) seen.set(id, last);
    tab.setAttribute("aria-pressed", String(id === place));
    tab.classList.toggle("unread", last !== seen.get(id));
  }
  $("messages").hidden = isHome();
  $("home").hidden = !isHome();
  if (isHome() && home && drawn !== home.hash) showHome(home);
}

function added(id, name) {
  const tab = node("button", "", name);
  tab.type = "button";
  tab.id = `place-${id}`;
  tab.addEventListener("click", () => visit(id));
  $("places").append(tab);
  return tab;
}

function visit(id) {
  place = id;
  $("how").value = id.startsWith("D") ? "say" : "command";
  if (id === HOME) send("home", { user }).then(answered);
  go();
}

function showHome(home) {
  drawn = home.hash;
  const act = async (used) => answered(await send("click", { user, view_id: home.id, ...used }));
  const at = { prefix: home.id, kept: new Map(), controls: [], act };
  $("home").replaceChildren(...home.blocks.map((block) => draw(block, at)));
}

$("shortcut").addEventListener("click", async () => {
  answered(await send("shortcut", { user, callback_id: FORM_SHORTCUT }));
});
