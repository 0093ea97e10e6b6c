// Draws the state that the server streams: every message with its blocks, as Slack's client would.
import { draw } from "./blocks.js";
import { showModals } from "./modal.js";
import { $, mrkdwn, names, node } from "./text.js";
import { send } from "./wire.js";

const SUGGESTIONS = [
  "status",
  "estimate",
  "estimate sonnet-4.6 requests=100k in=2000 out=500 cached=1500 hit=90%",
  "fallback on because the budget is nearly gone",
  "fallback status",
  "fallback off",
  "help",
];
const NEAR_END = 80; // pixels
let user = "";
let stream = null;
let items = new Map(); // list items by ts, with what they were drawn from

// --- messages
function content(message) {
  if (!message.blocks.length) return [node("div", "block", ...mrkdwn(message.text))];
  const act = async (used) => notice(await send("click", { user, ts: message.ts, ...used }));
  const place = { prefix: message.ts, kept: new Map(), controls: [], act };
  return message.blocks.map((block) => draw(block, place));
}

function item(message, replies) {
  const person = !message.by_bot;
  const name = names[message.user] ?? message.user;
  const body = node("div", "body", node("span", "name", name));
  if (!person) body.append(" ", node("span", "app", "APP"));
  body.append(node("span", "time", message.posted));
  if (message.ephemeral) body.append(node("span", "only", "Only visible to you"));
  body.append(...content(message));
  if (message.edited) body.append(node("span", "edited", `(edited ${message.edited})`));
  if (replies.length) {
    const thread = node("div", "thread");
    for (const reply of replies) {
      thread.append(node("div", "reply", node("span", "time", reply.posted), ...content(reply)));
    }
    body.append(thread);
  }
  const face = node("div", person ? "face person" : "face", person ? name[0] : "$");
  const listed = node("li", message.ephemeral ? "ephemeral" : "", face, body);
  listed.id = message.ts;
  return listed;
}

// Redraws only what has changed: the focus, a selection and an open menu elsewhere stay.
function showMessages(messages) {
  const list = $("messages");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_END;
  const next = new Map();
  let changed = items.size === 0;
  for (const root of messages.filter((message) => !message.thread || message.broadcast)) {
    const replies = messages.filter((reply) => reply.thread === root.ts && reply !== root);
    const from = JSON.stringify([root, replies]);
    const drawn = items.get(root.ts);
    if (drawn?.from === from) {
      next.set(root.ts, drawn);
      continue;
    }
    changed = true;
    const fresh = item(root, replies);
    drawn?.listed.replaceWith(fresh);
    next.set(root.ts, { from, listed: fresh });
  }
  for (const [ts, { listed }] of items) if (!next.has(ts)) listed.remove();
  items = next;
  let before = list.firstChild;
  for (const { listed } of next.values()) {
    if (listed === before) before = before.nextSibling;
    else list.insertBefore(listed, before);
  }
  // At once: while a smooth movement lasts, the next message would find the reader away from the end.
  if (changed && atEnd) list.scrollTo({ top: list.scrollHeight, behavior: "instant" });
}

function show(state) {
  Object.assign(names, state.users);
  $("now").textContent = state.now;
  $("speed").textContent = state.speed;
  $("channel").textContent = state.channel;
  $("path").textContent = state.path;
  $("file").textContent = state.file ?? "not written yet";
  $("quiet").hidden = state.messages.length > 0;
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
  items = new Map();
  $("messages").replaceChildren();
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
