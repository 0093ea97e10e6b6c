// The channel's messages as Slack's client draws them: each with its blocks, and its thread below it.
import { draw } from "./blocks.js";
import { $, mrkdwn, names, node } from "./text.js";
import { send } from "./wire.js";

const NEAR_END = 80; // pixels
const PATIENCE = 15_000; // milliseconds in which an answer to one's own words is expected
const PROMPT_SHORTCUT = "estimate_prompt";
let user = "";
let answered = () => {}; // what to do with an answer of the server
let items = new Map(); // list items by ts, with what they were drawn from
const known = new Set(); // ts of all messages that were ever shown
let expected = 0; // until when an answer is expected
const folded = new Set(); // ts of the messages whose threads are folded up

// Begins anew for another person.
export function showTo(person, onAnswer) {
  user = person;
  answered = onAnswer;
  items = new Map();
  $("messages").replaceChildren();
  $("below").hidden = true;
}

// The person has written or clicked something: its answer comes into view.
export function awaitAnswer() {
  expected = Date.now() + PATIENCE;
}

function content(message, prefix) {
  if (message.tombstone) return [node("div", "block tombstone", message.text)];
  if (!message.blocks.length) return [node("div", "block", ...mrkdwn(message.text))];
  const act = async (used) => {
    awaitAnswer();
    answered(await send("click", { user, ts: message.ts, ...used }));
  };
  const place = { prefix, kept: new Map(), controls: [], act };
  return message.blocks.map((block) => draw(block, place));
}

const nameOf = (message) => (message.tombstone ? "" : (names[message.user] ?? message.user));

function face(message) {
  if (message.tombstone) return node("div", "face gone", "×");
  return message.by_bot ? node("div", "face", "$") : node("div", "face person", nameOf(message)[0]);
}

// Who wrote it and when, what it says, and what can be done with it. `note`: a line above what it says.
function body(message, note, prefix) {
  const drawn = node("div", "body", node("span", "name", nameOf(message)));
  if (message.by_bot) drawn.append(" ", node("span", "app", "APP"));
  drawn.append(node("span", "time", message.posted));
  if (message.deletable) drawn.append(tool("Delete", "Delete this message for everyone", "delete", { ts: message.ts }));
  if (!message.ephemeral && !message.tombstone) {
    const chosen = { ts: message.ts, callback_id: PROMPT_SHORTCUT };
    drawn.append(tool("Estimate this prompt", "A shortcut of the app", "shortcut", chosen));
  }
  if (message.ephemeral) drawn.append(node("span", "only", "Only visible to you"));
  if (note) drawn.append(note);
  drawn.append(...content(message, prefix));
  if (message.edited) drawn.append(node("span", "edited", `(edited ${message.edited})`));
  return drawn;
}

// Something that can be done with a message, from its menu.
function tool(words, title, path, sent) {
  const drawn = node("button", `tool ${path}`, words);
  drawn.type = "button";
  drawn.title = title;
  drawn.addEventListener("click", async () => answered(await send(path, { user, ...sent })));
  return drawn;
}

function repliedTo(parent) {
  const line = node("div", "note", "replied to a thread: ");
  const [first] = parent.text.split("\n");
  const anchor = node("a", "", ...mrkdwn(first.length > 80 ? `${first.slice(0, 79)}…` : first));
  anchor.href = `#${parent.ts}`;
  line.append(anchor);
  return line;
}

function thread(parent, replies) {
  const count = replies.length === 1 ? "1 reply" : `${replies.length} replies`;
  const drawn = node("details", "thread", node("summary", "", count));
  drawn.open = !folded.has(parent.ts);
  drawn.addEventListener("toggle", () => (drawn.open ? folded.delete(parent.ts) : folded.add(parent.ts)));
  for (const reply of replies) {
    const note = reply.broadcast ? node("div", "note", "also sent to the channel") : null;
    const listed = node("div", "reply", face(reply), body(reply, note, `${reply.ts}-in-thread`));
    // A broadcast is found by its ts where it stands in the channel.
    if (!reply.broadcast) listed.id = reply.ts;
    drawn.append(listed);
  }
  return drawn;
}

function item(message, replies, parent) {
  const drawn = body(message, parent ? repliedTo(parent) : null, message.ts);
  if (replies.length) drawn.append(thread(message, replies));
  const listed = node("li", message.ephemeral ? "ephemeral" : "", face(message), drawn);
  listed.id = message.ts;
  return listed;
}

// Redraws only what has changed: the focus, a selection and an open menu elsewhere stay.
export function showMessages(messages) {
  const list = $("messages");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_END;
  const next = new Map();
  const begins = items.size === 0;
  let changed = begins;
  for (const root of messages.filter((message) => !message.thread || message.broadcast)) {
    const replies = messages.filter((reply) => reply.thread === root.ts);
    const parent = messages.find((message) => message.ts === root.thread);
    const from = JSON.stringify([root, replies, parent?.text]);
    const drawn = items.get(root.ts);
    if (drawn?.from === from) {
      next.set(root.ts, drawn);
      continue;
    }
    changed = true;
    const fresh = item(root, replies, parent);
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
  const fresh = begins ? [] : messages.filter((message) => !known.has(message.ts));
  for (const message of messages) known.add(message.ts);
  const isAnswer = Date.now() < expected && fresh.some(({ ephemeral, by_bot }) => ephemeral || by_bot);
  // At once: while a smooth movement lasts, the next message would find the reader away from the end.
  if ((changed && (atEnd || begins)) || isAnswer) toEnd();
  else if (fresh.length && !atEnd) $("below").hidden = false;
  if (isAnswer && fresh.some(({ ephemeral }) => ephemeral)) expected = 0;
}

function toEnd() {
  const list = $("messages");
  list.scrollTo({ top: list.scrollHeight, behavior: "instant" });
  $("below").hidden = true;
}

$("below").addEventListener("click", toEnd);
$("messages").addEventListener("scroll", () => {
  const list = $("messages");
  if (list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_END) $("below").hidden = true;
});
