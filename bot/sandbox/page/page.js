// Draws the state that the server streams, and sends what the person types.
import { showStage } from "./directions.js";
import { showMessages, showTo } from "./messages.js";
import { showModals } from "./modal.js";
import { $, names, node } from "./text.js";
import { send } from "./wire.js";

const SUGGESTIONS = [
  "status",
  "report month by feature",
  "report month by user",
  "estimate",
  "estimate sonnet-4.6 requests=100k in=2000 out=500 cached=1500 hit=90%",
  "fallback on because the budget is nearly gone",
  "fallback status",
  "fallback off",
  "help",
];
let user = "";
let stream = null;

function show(state) {
  Object.assign(names, state.users);
  $("now").textContent = state.now;
  $("speed").textContent = state.stage.speed;
  $("channel").textContent = state.channel;
  $("path").textContent = state.path;
  $("file").textContent = state.file ?? "not written yet";
  $("quiet").hidden = state.messages.length > 0;
  showStage(state.stage);
  showMessages(state.messages);
  showModals(state.modals, user);
}

// --- the wire
function notice({ refused = "" }) {
  $("notice").textContent = refused;
}

function follow() {
  stream?.close();
  stream = new EventSource(`events?user=${encodeURIComponent(user)}`);
  stream.onmessage = (event) => {
    $("lost").hidden = true;
    show(JSON.parse(event.data));
  };
  stream.onerror = () => {
    $("lost").hidden = false;
  };
}

function become(id) {
  user = id;
  showTo(user, notice);
  for (const choice of $("people").children) choice.setAttribute("aria-pressed", String(choice.value === id));
  follow();
}

$("composer").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("text").value;
  $("text").value = "";
  notice(await send("command", { user, text }));
});

for (const suggestion of SUGGESTIONS) {
  const chip = node("button", "", suggestion.length > 34 ? suggestion.slice(0, 33) + "…" : suggestion);
  chip.type = "button";
  chip.title = `/claude-cost ${suggestion}`;
  chip.addEventListener("click", () => {
    $("text").value = suggestion;
    $("text").focus();
  });
  $("chips").append(chip);
}

const people = await (await fetch("people")).json();
for (const [id, name] of people) {
  const choice = node("button", "", name);
  choice.value = id;
  choice.addEventListener("click", () => become(id));
  $("people").append(choice);
}
become(people[0][0]);
