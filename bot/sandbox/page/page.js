// Draws the state that the server streams, and sends what the person types.
import { showStage } from "./directions.js";
import { awaitAnswer, showMessages, showTo } from "./messages.js";
import { showModals } from "./modal.js";
import { here, isHome, placesOf, showPlaces } from "./places.js";
import { $, channels, names, node } from "./text.js";
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
let slackDown = false;

function show(state) {
  Object.assign(names, state.users);
  Object.assign(channels, state.channels);
  $("now").textContent = state.now;
  $("speed").textContent = state.stage.speed;
  slackDown = state.stage.slack_down;
  $("path").textContent = state.path;
  $("file").textContent = state.file ?? "not written yet";
  $("quiet").hidden = state.messages.length > 0 || here() !== "C0ALERTS";
  showStage(state.stage);
  showPlaces(state.places, state.home);
  if (!isHome()) showMessages(state.messages);
  showModals(state.modals, user);
}

// --- the wire
function notice({ refused = "" }) {
  const down = slackDown ? "Slack is down: the answer cannot arrive before it comes back." : "";
  $("notice").textContent = refused || down;
}

function follow() {
  stream?.close();
  stream = new EventSource(`events?user=${encodeURIComponent(user)}&place=${encodeURIComponent(here())}`);
  stream.onmessage = (event) => {
    $("lost").hidden = true;
    show(JSON.parse(event.data));
  };
  stream.onerror = () => {
    $("lost").hidden = false;
  };
}

const said = (text, how, place) => ({ user, text, place, mentions: how === "mention" });

// Shows another place to the same person.
function look() {
  showTo(user, notice);
  follow();
}

function become(id) {
  user = id;
  placesOf(user, look, notice);
  showTo(user, notice);
  for (const choice of $("people").children) choice.setAttribute("aria-pressed", String(choice.value === id));
  follow();
}

$("composer").addEventListener("submit", async (event) => {
  event.preventDefault();
  const [text, how, place] = [$("text").value, $("how").value, here()];
  $("text").value = "";
  awaitAnswer();
  const sent = how === "command" ? send("command", { user, text, place }) : send("say", said(text, how, place));
  notice(await sent);
});

for (const suggestion of SUGGESTIONS) {
  const chip = node("button", "", suggestion.length > 34 ? suggestion.slice(0, 33) + "…" : suggestion);
  chip.type = "button";
  chip.title = `/claude-cost ${suggestion}`;
  chip.addEventListener("click", () => {
    $("how").value = "command";
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
