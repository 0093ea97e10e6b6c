// The `markdown` block: the Markdown that language models write, as far as Slack shows it.
import { link, node } from "./text.js";

const SPAN = new RegExp(
  [
    /`([^`]+)`/,
    /\[([^\]]+)\]\(([^()\s]+)\)/,
    /\*\*(.+?)\*\*/,
    /~~(.+?)~~/,
    /(?<![\w*])\*([^*\s](?:[^*]*[^*\s])?)\*(?![\w*])/,
    /(?<!\w)_([^_]+)_(?!\w)/,
  ]
    .map(({ source }) => source)
    .join("|"),
);

function spans(text) {
  const parts = [];
  let rest = text;
  for (let found = SPAN.exec(rest); found; found = SPAN.exec(rest)) {
    if (found.index) parts.push(rest.slice(0, found.index));
    const [whole, code, label, target, bold, struck, starred, scored] = found;
    if (code !== undefined) parts.push(node("code", "", code));
    else if (label !== undefined) parts.push(link(target, label));
    else if (bold !== undefined) parts.push(node("strong", "", ...spans(bold)));
    else if (struck !== undefined) parts.push(node("s", "", ...spans(struck)));
    else parts.push(node("em", "", ...spans(starred ?? scored)));
    rest = rest.slice(found.index + whole.length);
  }
  if (rest) parts.push(rest);
  return parts;
}

const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());

function table(lines) {
  const [head, , ...rows] = lines.map(cells);
  return node(
    "div",
    "wide",
    node(
      "table",
      "",
      node("tr", "", ...head.map((cell) => node("th", "", ...spans(cell)))),
      ...rows.map((row) => node("tr", "", ...row.map((cell) => node("td", "", ...spans(cell))))),
    ),
  );
}

const without = (lines, mark) => lines.map((line) => line.replace(mark, ""));
const each = (tag, className, lines) => lines.map((line) => node(tag, className, ...spans(line)));

// Each kind of passage: how its lines look, and how they are drawn together. A rule looks like a list, so it is first.
const PASSAGES = [
  [/^\s*(?:-{3,}|\*{3,}|_{3,})\s*$/, () => node("hr", "")],
  [/^\s*\|.*\|\s*$/, (lines) => (lines.length > 1 ? table(lines) : node("p", "", ...spans(lines[0])))],
  [/^\s*[-*+]\s+/, (lines, mark) => node("ul", "", ...each("li", "", without(lines, mark)))],
  [/^\s*\d+[.)]\s+/, (lines, mark) => node("ol", "", ...each("li", "", without(lines, mark)))],
  [/^>\s?/, (lines, mark) => node("blockquote", "lines", ...spans(without(lines, mark).join("\n")))],
  [/^#{1,6}\s+/, (lines, mark) => node("div", "", ...each("div", "heading", without(lines, mark)))],
];

export function markdown(text) {
  const drawn = [];
  for (const piece of text.split(/(^```[^]+?^```$)/m)) {
    if (/^```/.test(piece)) {
      drawn.push(node("pre", "", piece.replace(/^```[^\n]*\n?/, "").replace(/\n?```$/, "")));
    } else {
      drawn.push(...passages(piece.split("\n")));
    }
  }
  return drawn;
}

const kindOf = (line) => (line.trim() ? (PASSAGES.find(([mark]) => mark.test(line)) ?? "text") : "gap");

function passages(lines) {
  const drawn = [];
  for (let start = 0, end; start < lines.length; start = end) {
    const kind = kindOf(lines[start]);
    end = start + 1;
    while (end < lines.length && kindOf(lines[end]) === kind) end += 1;
    const taken = lines.slice(start, end);
    if (kind === "text") drawn.push(node("p", "lines", ...spans(taken.join("\n"))));
    else if (kind !== "gap") drawn.push(kind[1](taken, kind[0]));
  }
  return drawn;
}
