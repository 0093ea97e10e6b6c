// Buttons, menus and inputs. A place says where they stand:
//   prefix    begins the ids of its elements in this page
//   kept      values by the key of their control, typed before the place was drawn anew
//   controls  every element that holds a value, in order; the elements add themselves
//   act       reports to the app that an element was used: ({ block_id, action_id, chosen }) => promise
import { $, channels, names, node, textOf } from "./text.js";

const keyOf = (element, block) => JSON.stringify([block.block_id, element.action_id, element.type]);
const idOf = (element, block, place) => `${place.prefix}-${block.block_id}-${element.action_id}`;

export function button(element, block, place) {
  const drawn = node("button", `element ${element.style ?? ""}`, element.text.text);
  drawn.type = "button";
  drawn.id = idOf(element, block, place);
  drawn.dataset.action = element.action_id;
  if (element.accessibility_label) drawn.setAttribute("aria-label", element.accessibility_label);
  drawn.addEventListener("click", async () => {
    if (isBusy(drawn) || (element.confirm && !(await confirmed(element.confirm)))) return;
    if (/^https?:/.test(element.url ?? "")) window.open(element.url, "_blank", "noopener");
    busy(drawn, true);
    await place.act({ block_id: block.block_id, action_id: element.action_id });
    busy(drawn, false);
  });
  return drawn;
}

// A busy button keeps the focus, which a disabled one would lose.
export const isBusy = (drawn) => drawn.getAttribute("aria-disabled") === "true";
export const busy = (drawn, is) => drawn.setAttribute("aria-disabled", String(is));

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

// --- what holds a value. Each kind returns `{ box, target, read, grouped }`: `target` takes the focus.
const KINDS = {
  plain_text_input: typed,
  number_input: typed,
  email_text_input: typed,
  url_text_input: typed,
  datepicker: typed,
  timepicker: typed,
  static_select: menu,
  overflow: menu,
  users_select: menu,
  conversations_select: menu,
  channels_select: menu,
  radio_buttons: choices,
  checkboxes: choices,
  multi_static_select: choices,
  multi_users_select: choices,
  multi_conversations_select: choices,
  multi_channels_select: choices,
};

// What the workspace offers where the app names no options of its own.
const people = () => Object.entries(names).map(([value, text]) => plainOption(value, text));
const conversations = () => Object.entries(channels).map(([value, text]) => plainOption(value, `# ${text}`));
const plainOption = (value, text) => ({ value, text: { type: "plain_text", text } });
const OFFERED = {
  users_select: people,
  multi_users_select: people,
  conversations_select: conversations,
  channels_select: conversations,
  multi_conversations_select: conversations,
  multi_channels_select: conversations,
};
const optionsOf = (element) => OFFERED[element.type]?.() ?? element.options ?? [];
// What it begins with: one value, or several.
const begunWith = (element) =>
  element.initial_option?.value ??
  element.initial_user ??
  element.initial_conversation ??
  element.initial_channel ??
  element.initial_options?.map(({ value }) => value) ??
  element.initial_users ??
  element.initial_conversations ??
  element.initial_channels ??
  "";
const TYPES = { email_text_input: "email", url_text_input: "url", datepicker: "date", timepicker: "time" };

export function control(element, block, place) {
  const kind = KINDS[element.type];
  if (!kind) return { box: node("span", "unknown", `[an element of type ${element.type}]`) };
  const key = keyOf(element, block);
  const made = kind(element, idOf(element, block, place), place.kept.get(key));
  made.target.dataset.action = element.action_id;
  place.controls.push({ ...made, key, block, element });
  if (block.type !== "input" || block.dispatch_action) {
    made.box.addEventListener("change", async () => {
      if (element.type === "overflow" && !made.read()) return;
      if (element.confirm && !(await confirmed(element.confirm))) return;
      await place.act({ block_id: block.block_id, action_id: element.action_id, chosen: made.read() });
      if (element.type === "overflow") made.target.value = "";
    });
  }
  return made;
}

function typed(element, id, kept) {
  const input = document.createElement(element.multiline ? "textarea" : "input");
  if (!element.multiline) input.type = TYPES[element.type] ?? "text";
  if (element.multiline) input.rows = 4;
  if (element.type === "number_input") input.inputMode = element.is_decimal_allowed ? "decimal" : "numeric";
  if (element.max_length) input.maxLength = element.max_length;
  input.id = id;
  input.className = "entry";
  input.placeholder = element.placeholder?.text ?? "";
  input.value = kept ?? element.initial_value ?? element.initial_date ?? element.initial_time ?? "";
  return { box: input, target: input, read: () => input.value };
}

function menu(element, id, kept) {
  const select = node("select", element.type === "overflow" ? "entry overflow" : "entry");
  select.id = id;
  const nothing = element.placeholder?.text ?? (element.type === "overflow" ? "⋯" : "Choose an option");
  select.append(new Option(nothing, ""));
  select.append(...optionsOf(element).map((option) => new Option(option.text.text, option.value)));
  for (const group of element.option_groups ?? []) {
    const drawn = document.createElement("optgroup");
    drawn.label = group.label.text;
    drawn.append(...group.options.map((option) => new Option(option.text.text, option.value)));
    select.append(drawn);
  }
  select.value = kept ?? begunWith(element);
  return { box: select, target: select, read: () => select.value };
}

function choices(element, id, kept) {
  const one = element.type === "radio_buttons";
  const held = [kept ?? begunWith(element)].flat();
  const groups = element.option_groups ?? [{ options: optionsOf(element) }];
  const box = node("div", "choices");
  box.setAttribute("role", one ? "radiogroup" : "group");
  for (const group of groups) {
    if (group.label) box.append(node("div", "group", group.label.text));
    for (const option of group.options) {
      const input = document.createElement("input");
      input.type = one ? "radio" : "checkbox";
      input.name = id;
      input.value = option.value;
      input.checked = held.includes(option.value);
      input.id = `${id}-${option.value}`;
      const words = node("span", "", ...textOf(option.text));
      if (option.description) words.append(node("span", "description", ...textOf(option.description)));
      box.append(node("label", "choice", input, words));
    }
  }
  const inputs = [...box.querySelectorAll("input")];
  const chosen = () => inputs.filter((input) => input.checked).map((input) => input.value);
  return { box, target: inputs[0], grouped: true, read: one ? () => chosen()[0] ?? "" : chosen };
}

// --- what Slack's client says before it sends a form
const NUMBER = /^-?(?:\d+\.?\d*|\.\d+)$/;

const CHECKS = {
  plain_text_input: lengthProblem,
  number_input: numberProblem,
  email_text_input: (value) => (/^[^\s@]+@[^\s@]+$/.test(value) ? "" : "Enter an e-mail address."),
  url_text_input: (value) => (URL.canParse(value) ? "" : "Enter a web address."),
  multi_static_select: mostProblem,
  multi_users_select: mostProblem,
  multi_conversations_select: mostProblem,
  multi_channels_select: mostProblem,
};

function mostProblem(value, { max_selected_items: most = Infinity }) {
  return value.length > most ? `Choose at most ${most}.` : "";
}

// The reason why a value cannot be sent, or "".
export function problem({ block, element, read }) {
  const value = read();
  if (value.length) return CHECKS[element.type]?.(value, element) ?? "";
  return block.type === "input" && !block.optional ? "Please complete this required field." : "";
}

function lengthProblem(value, element) {
  if (value.length < (element.min_length ?? 0)) return `Enter at least ${element.min_length} characters.`;
  if (value.length > (element.max_length ?? Infinity)) return `Enter at most ${element.max_length} characters.`;
  return "";
}

function numberProblem(value, element) {
  if (!NUMBER.test(value)) return "Enter a number.";
  if (!element.is_decimal_allowed && value.includes(".")) return "Enter a whole number.";
  if (Number(value) < Number(element.min_value ?? -Infinity)) return `Enter a number from ${element.min_value} up.`;
  if (Number(value) > Number(element.max_value ?? Infinity)) return `Enter a number up to ${element.max_value}.`;
  return "";
}
