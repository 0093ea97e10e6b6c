// Text as Slack writes it: mrkdwn and rich text. Everything becomes text nodes, so no value can smuggle markup in.
export const $ = (id) => document.getElementById(id);

// Names by user id, kept up to date by the page.
export const names = {};

// Names of channels by id, likewise.
export const channels = {};

export function node(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

export function link(target, label) {
  const anchor = node("a", "", label);
  const ts = target.match(/\/p(\d{10})(\d{6})/);
  if (ts) {
    anchor.href = `#${ts[1]}.${ts[2]}`;
  } else if (/^https?:/.test(target)) {
    anchor.href = target;
    anchor.rel = "noreferrer";
    anchor.target = "_blank";
  }
  return anchor;
}

// --- mrkdwn
const plain = (text) => text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
const FENCED = /(```[^]+?```)/;
const QUOTED = /((?:^(?:>|&gt;)[^\n]*(?:\n|$))+)/m;
const SPAN = /<([^<>]+)>|`([^`\n]+)`|(?<![\w*])\*([^*\n]+)\*(?![\w*])|(?<![\w_])_([^_\n]+)_(?![\w_])|(?<!~)~([^~\n]+)~|\n/;

export function mrkdwn(text) {
  const parts = [];
  for (const piece of text.split(FENCED)) {
    if (piece.length > 6 && piece.startsWith("```")) {
      parts.push(node("pre", "", plain(piece.slice(3, -3).replace(/^\n/, ""))));
      continue;
    }
    for (const run of piece.split(QUOTED)) {
      if (/^(?:>|&gt;)/.test(run)) {
        parts.push(node("blockquote", "", ...spans(run.replace(/\n$/, "").replace(/^(?:>|&gt;) ?/gm, ""))));
      } else {
        parts.push(...spans(run));
      }
    }
  }
  return parts;
}

function spans(text) {
  const parts = [];
  let rest = text;
  for (let found = SPAN.exec(rest); found; found = SPAN.exec(rest)) {
    if (found.index) parts.push(plain(rest.slice(0, found.index)));
    parts.push(span(found));
    rest = rest.slice(found.index + found[0].length);
  }
  if (rest) parts.push(plain(rest));
  return parts;
}

function span([, special, code, bold, italic, struck]) {
  if (special !== undefined) return reference(special);
  if (code !== undefined) return node("code", "", plain(code));
  if (bold !== undefined) return node("strong", "", ...spans(bold));
  if (italic !== undefined) return node("em", "", ...spans(italic));
  if (struck !== undefined) return node("s", "", ...spans(struck));
  return document.createElement("br");
}

const mention = (text) => node("span", "mention", text);

function reference(inside) {
  const [target, label] = inside.split("|");
  if (target.startsWith("@")) return mention("@" + (names[target.slice(1)] ?? target.slice(1)));
  if (target.startsWith("#")) return mention("#" + plain(label || (channels[target.slice(1)] ?? target.slice(1))));
  if (target.startsWith("!date^")) return plain(label ?? "");
  if (target.startsWith("!")) return mention(plain(label ?? "@" + target.slice(1)));
  return link(plain(target), plain(label ?? target));
}

// A text object: `plain_text` stands as it is.
export const textOf = (object) => (object.type === "mrkdwn" ? mrkdwn(object.text) : [object.text]);

// --- rich text
const STYLES = { bold: "strong", italic: "em", strike: "s", code: "code" };
const PIECES = {
  text: (piece) => piece.text,
  link: (piece) => link(piece.url, piece.text ?? piece.url),
  emoji: (piece) => (piece.unicode ? emoji(piece.unicode) : `:${piece.name}:`),
  user: (piece) => mention("@" + (names[piece.user_id] ?? piece.user_id)),
  usergroup: (piece) => mention("@" + piece.usergroup_id),
  channel: (piece) => mention("#" + (channels[piece.channel_id] ?? piece.channel_id)),
  broadcast: (piece) => mention("@" + piece.range),
  date: (piece) => piece.fallback ?? new Date(piece.timestamp * 1000).toUTCString(),
};

const emoji = (codes) => String.fromCodePoint(...codes.split("-").map((code) => Number.parseInt(code, 16)));

function pieces(elements) {
  return elements.map((piece) => {
    const drawn = PIECES[piece.type]?.(piece) ?? `[${piece.type}]`;
    const styles = Object.keys(piece.style ?? {}).filter((style) => piece.style[style] && STYLES[style]);
    return styles.reduce((inner, style) => node(STYLES[style], "", inner), drawn);
  });
}

const PARTS = {
  rich_text_section: (part) => node("div", "lines", ...pieces(part.elements)),
  rich_text_quote: (part) => node("blockquote", "lines", ...pieces(part.elements)),
  rich_text_preformatted: (part) => node("pre", "", ...pieces(part.elements)),
  rich_text_list(part) {
    const items = part.elements.map((item) => node("li", "lines", ...pieces(item.elements)));
    const list = node(part.style === "ordered" ? "ol" : "ul", `indent${Math.min(part.indent ?? 0, 8)}`, ...items);
    if (part.style === "ordered") list.start = (part.offset ?? 0) + 1;
    return list;
  },
};

export const richText = (object) => object.elements.map((part) => PARTS[part.type]?.(part) ?? `[${part.type}]`);
