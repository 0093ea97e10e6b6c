// Block Kit blocks, in messages and in modals alike. `place` is explained in elements.js.
import { chart } from "./chart.js";
import { button, control } from "./elements.js";
import { markdown } from "./markdown.js";
import { node, richText, textOf } from "./text.js";

const BLOCKS = {
  header: (block) => node("div", "block header", block.text.text),
  divider: () => node("hr", "block divider"),
  section,
  context: (block) => node("div", "block context", ...separated(block.elements.map((element) => small(element)))),
  actions: (block, place) => node("div", "block actions", ...block.elements.map((one) => element(one, block, place))),
  input,
  image: (block) => node("div", "block context", `[image: ${block.alt_text}]`),
  rich_text: (block) => node("div", "block", ...richText(block)),
  markdown: (block) => node("div", "block markdown", ...markdown(block.text)),
  table: (block) => node("div", "block wide", table(block.rows, block.column_settings)),
  data_table: dataTable,
  data_visualization: (block) => chart(block),
  alert: (block) => node("div", `block alert ${block.level ?? ""}`, ...textOf(block.text)),
  card,
  carousel: (block, place) => node("div", "block carousel", ...block.elements.map((one) => card(one, place))),
  container,
};

export function draw(block, place) {
  const known = BLOCKS[block.type];
  return known ? known(block, place) : node("div", "block context", `[a block of type ${block.type}]`);
}

const element = (one, block, place) =>
  one.type === "button" ? button(one, block, place) : control(one, block, place).box;

const small = (one) => (one.type === "image" ? [`[${one.alt_text}]`] : textOf(one));

const separated = (groups) => groups.flatMap((group, index) => (index ? [" · ", ...group] : group));

function section(block, place) {
  const words = node("div", "words", ...(block.text ? textOf(block.text) : []));
  if (block.fields) {
    words.append(node("div", "fields", ...block.fields.map((field) => node("div", "", ...textOf(field)))));
  }
  const drawn = node("div", "block section", words);
  const beside = block.accessory;
  if (beside?.type === "image") {
    drawn.append(node("div", "accessory context", `[image: ${beside.alt_text}]`));
  } else if (beside) {
    const made = node("div", "accessory", element(beside, block, place));
    if (beside.type !== "button") made.firstChild.setAttribute("aria-label", block.text?.text ?? beside.action_id);
    drawn.append(made);
  }
  return drawn;
}

function input(block, place) {
  const made = control(block.element, block, place);
  const drawn = node("div", "block input");
  const label = node(made.grouped || !made.target ? "div" : "label", "label", block.label.text);
  if (block.optional) label.append(node("span", "optional", " (optional)"));
  drawn.append(label, made.box);
  if (!made.target) return drawn;
  const id = `${place.prefix}-${block.block_id}`;
  if (made.grouped) {
    label.id = `${id}-label`;
    made.box.setAttribute("aria-labelledby", label.id);
  } else {
    label.htmlFor = made.target.id;
  }
  const fault = node("p", "fault");
  fault.id = `${id}-fault`;
  fault.hidden = true;
  drawn.append(fault);
  const described = [fault.id];
  if (block.hint) {
    const hint = node("p", "hint", block.hint.text);
    hint.id = `${id}-hint`;
    drawn.append(hint);
    described.push(hint.id);
  }
  made.box.setAttribute("aria-describedby", described.join(" "));
  return drawn;
}

// Shows or takes away what is wrong with an input block.
export function faultAt(made, place, text) {
  const fault = document.getElementById(`${place.prefix}-${made.block.block_id}-fault`);
  if (!fault) return;
  fault.textContent = text;
  fault.hidden = !text;
  made.box.setAttribute("aria-invalid", String(Boolean(text)));
}

function table(rows, settings = []) {
  const row = (cells, tag) =>
    node("tr", "", ...cells.map((cell, index) => node(tag, settings[index]?.align ?? "", ...cellText(cell))));
  const [head, ...rest] = rows;
  const body = node("tbody", "", ...rest.map((cells) => row(cells, "td")));
  return node("table", "", node("thead", "", row(head, "th")), body);
}

function cellText(cell) {
  if (cell.type === "rich_text") return richText(cell);
  return [cell.text ?? String(cell.value)];
}

// A click on a heading sorts by its column, a second one the other way round.
function dataTable(block) {
  const drawn = table(block.rows, block.column_settings);
  drawn.prepend(node("caption", "", block.caption));
  const headings = [...drawn.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const sorter = node("button", "sorter", ...heading.childNodes);
    sorter.type = "button";
    sorter.dataset.sorts = column;
    sorter.addEventListener("click", () => {
      const direction = heading.getAttribute("aria-sort") === "descending" ? "ascending" : "descending";
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", direction);
      sort(drawn.tBodies[0], block.rows.slice(1), column, direction === "ascending" ? 1 : -1);
    });
    heading.scope = "col";
    heading.replaceChildren(sorter);
  });
  numbered(drawn, block.rows);
  return node("div", "block wide", drawn);
}

const valueOf = (cell) => cell.value ?? cell.text ?? richText(cell).map((part) => part.textContent ?? part).join("");

function sort(body, rows, column, sign) {
  const drawn = [...body.rows].map((row) => [row, valueOf(rows[row.dataset.at ?? row.sectionRowIndex][column])]);
  drawn.forEach(([row], index) => (row.dataset.at ??= index));
  drawn.sort(([, one], [, other]) => sign * compared(one, other));
  body.append(...drawn.map(([row]) => row));
}

function compared(one, other) {
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one).localeCompare(String(other), undefined, { numeric: true });
}

// Numbers stand at the right, as in Slack.
function numbered(drawn, rows) {
  rows[0].forEach((_, column) => {
    if (!rows.slice(1).some((cells) => cells[column].type === "raw_number")) return;
    for (const row of drawn.rows) row.cells[column].classList.add("right");
  });
}

function card(block, place) {
  const drawn = node("div", "block card");
  if (block.title) drawn.append(node("div", "header", ...textOf(block.title)));
  if (block.subtitle) drawn.append(node("div", "context", ...textOf(block.subtitle)));
  if (block.hero_image) drawn.append(node("div", "context", `[image: ${block.hero_image.alt_text}]`));
  if (block.body) drawn.append(node("div", "", ...textOf(block.body)));
  if (block.subtext) drawn.append(node("div", "context", ...textOf(block.subtext)));
  if (block.actions) drawn.append(node("div", "actions", ...block.actions.map((one) => button(one, block, place))));
  return drawn;
}

function container(block, place) {
  const title = block.title ? textOf(block.title) : richText(block.rich_text_title);
  const inside = block.subtitle ? [node("div", "context", ...textOf(block.subtitle))] : [];
  inside.push(...block.child_blocks.map((child) => draw(child, place)));
  if (!block.is_collapsible) return node("div", "block card", node("div", "header", ...title), ...inside);
  const drawn = node("details", "block fold", node("summary", "", ...title), ...inside);
  drawn.open = !block.default_collapsed;
  return drawn;
}
