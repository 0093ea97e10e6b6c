"use strict";
// Draws the state that the server streams: every message with its blocks, as Slack's client would.
const $ = (id) => document.getElementById(id);
const SUGGESTIONS = [
  "status",
  "estimate sonnet-4.6 requests=100k in=2000 out=500 cached=1500 hit=90%",
  "fallback on because the budget is nearly gone",
  "fallback status",
  "fallback off",
  "help",
];
let user = "";
let state = null;
let drawn = "";
let stream = null;

function node(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

// --- mrkdwn: everything becomes text nodes, so that no value can smuggle markup in.
const unescape = (text) => text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
const SPAN = /<([^<>]+)>|`([^`\n]+)`|(?<![\w*])\*([^*\n]+)\*(?![\w*])|(?<![\w_])_([^_\n]+)_(?![\w_])|~([^~\n]+)~|\n/;

function mrkdwn(text) {
  const parts = [];
  let rest = text;
  for (let found = SPAN.exec(rest); found; found = SPAN.exec(rest)) {
    if (found.index) parts.push(unescape(rest.slice(0, found.index)));
    parts.push(span(found));
    rest = rest.slice(found.index + found[0].length);
  }
  if (rest) parts.push(unescape(rest));
  return parts;
}

function span([whole, special, code, bold, italic, struck]) {
  if (special !== undefined) return reference(special);
  if (code !== undefined) return node("code", "", unescape(code));
  if (bold !== undefined) return node("strong", "", ...mrkdwn(bold));
  if (italic !== undefined) return node("em", "", ...mrkdwn(italic));
  if (struck !== undefined) return node("s", "", ...mrkdwn(struck));
  return document.createElement("br");
}

function reference(inside) {
  const [target, label] = inside.split("|");
  if (target.startsWith("@")) return node("span", "mention", "@" + (state.users[target.slice(1)] ?? target.slice(1)));
  if (target.startsWith("#")) return node("span", "mention", "#" + (label ?? target.slice(1)));
  if (target.startsWith("!date^")) return label ?? "";
  if (target.startsWith("!")) return node("span", "mention", "@" + target.slice(1));
  const link = node("a", "", label ? unescape(label) : target);
  const ts = target.match(/\/p(\d{10})(\d{6})/);
  if (ts) {
    link.href = "#" + ts[1] + "." + ts[2];
  } else if (/^https?:/.test(target)) {
    link.href = target;
    link.rel = "noreferrer";
  }
  return link;
}

const textOf = (object) => (object.type === "mrkdwn" ? mrkdwn(object.text) : [object.text]);

// --- blocks
const BLOCKS = {
  header: (block) => node("div", "block header", block.text.text),
  divider: () => node("div", "block divider"),
  section(block) {
    const drawnBlock = node("div", "block", ...(block.text ? textOf(block.text) : []));
    if (block.fields) drawnBlock.append(node("div", "fields", ...block.fields.map((f) => node("div", "", ...textOf(f)))));
    return drawnBlock;
  },
  context: (block) =>
    node("div", "block context", ...block.elements.flatMap((element, i) => [...(i ? [" · "] : []), ...textOf(element)])),
  actions: (block, message) =>
    node("div", "block actions", ...block.elements.map((element) => button(element, block, message))),
};

function draw(block, message) {
  const known = BLOCKS[block.type];
  return known ? known(block, message) : node("div", "block context", `[a block of type ${block.type}]`);
}

function button(element, block, message) {
  const drawnButton = node("button", `element ${element.style ?? ""}`, element.text.text);
  drawnButton.type = "button";
  drawnButton.dataset.action = element.action_id;
  drawnButton.addEventListener("click", async () => {
    if (element.confirm && !(await confirmed(element.confirm))) return;
    drawnButton.disabled = true;
    await post("click", { user, ts: message.ts, action_id: element.action_id });
    drawnButton.disabled = false;
  });
  return drawnButton;
}

function confirmed(dialog) {
  const box = $("confirm");
  box.className = dialog.style ?? "";
  $("confirm-title").textContent = dialog.title.text;
  $("confirm-text").replaceChildren(...textOf(dialog.text));
  $("confirm-confirm").textContent = dialog.confirm.text;
  $("confirm-deny").textContent = dialog.deny.text;
  box.returnValue = "deny";
  box.showModal();
  return new Promise((resolve) =>
    box.addEventListener("close", () => resolve(box.returnValue === "confirm"), { once: true }),
  );
}

// --- messages
function content(message) {
  if (!message.blocks.length) return [node("div", "block", ...mrkdwn(message.text))];
  return message.blocks.map((block) => draw(block, message));
}

function item(message, replies) {
  const person = !message.by_bot;
  const body = node("div", "", node("span", "name", state.users[message.user] ?? message.user));
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
  const listed = node("li", message.ephemeral ? "ephemeral" : "", face(message, person), body);
  listed.id = message.ts;
  return listed;
}

const face = (message, person) => node("div", person ? "face person" : "face", person ? state.users[message.user][0] : "$");

function show(next) {
  state = next;
  $("now").textContent = next.now;
  $("speed").textContent = next.speed;
  $("channel").textContent = next.channel;
  $("path").textContent = next.path;
  $("file").textContent = next.file ?? "not written yet";
  $("quiet").hidden = next.messages.length > 0;
  const fresh = JSON.stringify([next.messages, next.users]);
  if (fresh === drawn) return;
  drawn = fresh;
  const list = $("messages");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
  const roots = next.messages.filter((message) => !message.thread || message.broadcast);
  list.replaceChildren(
    ...roots.map((root) => item(root, next.messages.filter((reply) => reply.thread === root.ts && reply !== root))),
  );
  if (atEnd) list.scrollTop = list.scrollHeight;
}

// --- the wire
async function post(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!answer.ok) alert(`The demo answered ${answer.status}: ${await answer.text()}`);
}

function follow() {
  stream?.close();
  stream = new EventSource(`events?user=${encodeURIComponent(user)}`);
  stream.onmessage = (event) => show(JSON.parse(event.data));
}

function become(id) {
  user = id;
  drawn = "";
  for (const choice of $("people").children) choice.setAttribute("aria-pressed", String(choice.value === id));
  follow();
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  post("command", { user, text: $("text").value });
  $("text").value = "";
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

fetch("people")
  .then((answer) => answer.json())
  .then((people) => {
    for (const [id, name] of people) {
      const choice = node("button", "", name);
      choice.value = id;
      choice.addEventListener("click", () => become(id));
      $("people").append(choice);
    }
    become(people[0][0]);
  });
