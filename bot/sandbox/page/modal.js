// The topmost modal of the person, as a dialog. What was typed outlives every redrawing.
import { draw, faultAt } from "./blocks.js";
import { busy, isBusy, problem } from "./elements.js";
import { $ } from "./text.js";
import { send } from "./wire.js";

let user = "";
let modals = [];
let shown = null; // the drawn modal with its place
const kept = new Map(); // values by the id of the view, for views below the topmost and for new versions
const leaving = new Set(); // ids of views that are closed here, and not yet by the server

// Shows the last of these modals; one that has not changed is left alone.
export function showModals(next, person) {
  user = person;
  modals = next;
  const ids = new Set(next.map((modal) => modal.id));
  for (const id of [...kept.keys(), ...leaving]) {
    if (!ids.has(id)) {
      kept.delete(id);
      leaving.delete(id);
    }
  }
  const top = next.at(-1);
  if (!top || leaving.has(top.id)) return hide();
  if (shown?.id !== top.id || shown.hash !== top.hash) show(top);
}

function hide() {
  shown = null;
  if ($("modal").open) $("modal").close();
}

function show(modal) {
  const dialog = $("modal");
  if (shown && modals.some(({ id }) => id === shown.id)) kept.set(shown.id, held());
  const focus = focused();
  const act = (used) => post(place, "click", { ...used, values: valuesOf(place) });
  const place = { prefix: modal.id, kept: kept.get(modal.id) ?? new Map(), controls: [], act };
  shown = { ...modal, place };
  $("modal-title").textContent = modal.title;
  $("modal-body").replaceChildren(...modal.blocks.map((block) => draw(block, place)));
  $("modal-body").scrollTop = 0;
  $("modal-notice").textContent = "";
  $("modal-close").textContent = modal.close ?? (modal.submit ? "Cancel" : "Close");
  $("modal-submit").textContent = modal.submit ?? "";
  $("modal-submit").hidden = modal.submit === null;
  busy($("modal-submit"), modal.submit_disabled);
  if (!dialog.open) dialog.showModal();
  refocus(focus, place);
}

const held = () => new Map(shown.place.controls.map((made) => [made.key, made.read()]));

// By block id and action id, as Slack has it.
function valuesOf(place) {
  const values = {};
  for (const { block, element, read } of place.controls) {
    if (element.type !== "overflow") (values[block.block_id] ??= {})[element.action_id] = read();
  }
  return values;
}

// --- the focus stays where it was, or goes to where one begins
function focused() {
  const at = document.activeElement;
  if (!at?.closest("#modal-body")) return null;
  return { id: at.id, from: at.selectionStart, to: at.selectionEnd };
}

function refocus(before, place) {
  const again = before?.id ? $(before.id) : null;
  if (again) {
    again.focus();
    if (before.from !== null && before.from !== undefined) again.setSelectionRange(before.from, before.to);
    return;
  }
  const first = place.controls.find(({ element }) => element.focus_on_load) ?? place.controls[0];
  (first?.target ?? ($("modal-submit").hidden ? $("modal-close") : $("modal-submit"))).focus();
}

// --- what the person does
async function post(place, path, body) {
  $("modal-notice").textContent = "";
  const answer = await send(path, { user, view_id: place.prefix, ...body });
  if (answer.refused && shown?.place === place) $("modal-notice").textContent = answer.refused;
  return answer;
}

async function submit() {
  if (!shown || shown.submit === null || isBusy($("modal-submit"))) return;
  const { place } = shown;
  const wrong = new Map(place.controls.map((made) => [made, problem(made)]).filter(([, text]) => text));
  if (faults(place, wrong)) return;
  busy($("modal-submit"), true);
  const answer = await post(place, "submit", { values: valuesOf(place) });
  if (shown?.place !== place) return;
  // After any other answer the form is replaced or closed in a moment, and must not be sent twice until then.
  if (answer.refused || answer.response_action === "errors") busy($("modal-submit"), false);
  if (answer.response_action !== "errors") return;
  const errors = new Map(Object.entries(answer.errors));
  const inputs = place.controls.filter(({ block }) => block.type === "input");
  faults(place, new Map(inputs.map((made) => [made, errors.get(made.block.block_id)]).filter(([, text]) => text)));
  const known = new Set(inputs.map(({ block }) => block.block_id));
  const elsewhere = [...errors].filter(([id]) => !known.has(id)).map(([id, text]) => `${id}: ${text}`);
  $("modal-notice").textContent = elsewhere.join(" ");
}

// Shows what is wrong, by control, and goes to the first; returns whether there was anything.
function faults(place, wrong) {
  for (const made of place.controls) faultAt(made, place, wrong.get(made) ?? "");
  const [first] = wrong.keys();
  first?.target.focus();
  return Boolean(first);
}

async function leave() {
  if (!shown || leaving.has(shown.id)) return;
  const { id } = shown;
  leaving.add(id);
  // With another view below, the server says which one is next.
  if (modals.length === 1) hide();
  const answer = await send("close", { user, view_id: id });
  if (!answer.refused) return;
  leaving.delete(id);
  if (shown) $("modal-notice").textContent = answer.refused;
}

$("modal").addEventListener("cancel", (event) => {
  event.preventDefault();
  leave();
});
// Browsers close a dialog at the second Escape whatever the page says.
$("modal").addEventListener("close", leave);
$("modal-form").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
$("modal-form").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit();
});
for (const id of ["modal-close", "modal-x"]) $(id).addEventListener("click", leave);
