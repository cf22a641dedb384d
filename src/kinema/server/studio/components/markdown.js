/**
 * A small safe subset of Markdown as elements, never as HTML: headings, paragraphs, lists, tables, code, bold, emphasis, links.
 * What is not understood is shown as text.
 */
import { html, h } from "../ui.js";

const INLINE = /(`[^`]+`)|\*\*([^*]+)\*\*|(?<![\w*])\*([^*\s][^*]*)\*|\[([^\]]+)\]\((https?:\/\/[^\s)]+|[^\s):]+)\)/g;

function inline(text) {
  const parts = [];
  let last = 0;
  for (const found of text.matchAll(INLINE)) {
    parts.push(text.slice(last, found.index));
    const [whole, code, bold, soft, name, address] = found;
    if (code) parts.push(html`<code>${code.slice(1, -1)}</code>`);
    else if (bold) parts.push(html`<strong>${bold}</strong>`);
    else if (soft) parts.push(html`<em>${soft}</em>`);
    // A path inside the repository leads nowhere from here: only its name is shown.
    else if (/^https?:/.test(address)) parts.push(html`<a href=${address} rel="noopener noreferrer" target="_blank">${name}</a>`);
    else parts.push(name);
    last = found.index + whole.length;
  }
  return [...parts, text.slice(last)];
}

const BLOCKS = [
  [/^(?:```|~~~)/, fenced],
  [/^ {4}\S/, indented],
  [/^#{1,6} /, heading],
  [/^\|.*\|\s*$/, table],
  [/^\s*[-*+] /, (lines) => list(lines, "ul", /^\s*[-*+] /)],
  [/^\s*\d+[.)] /, (lines) => list(lines, "ol", /^\s*\d+[.)] /)],
];

/** @param {{text: string, level?: number}} props level: what a first heading becomes */
export function Markdown({ text, level = 2 }) {
  const lines = (text ?? "").replace(/^---\n[\s\S]*?\n---\n/, "").split("\n");
  const out = [];
  while (lines.length) {
    if (!lines[0].trim()) lines.shift();
    else out.push((BLOCKS.find(([pattern]) => pattern.test(lines[0]))?.[1] ?? paragraph)(lines, level));
  }
  return html`<div class="markdown">${out}</div>`;
}

function take(lines, while_) {
  const taken = [];
  while (lines.length && while_(lines[0])) taken.push(lines.shift());
  return taken;
}

function heading(lines, level) {
  const [, marks, text] = lines.shift().match(/^(#+) (.*)$/);
  return h(`h${Math.min(marks.length + level - 1, 6)}`, null, inline(text));
}

function fenced(lines) {
  const fence = lines.shift().slice(0, 3);
  const body = take(lines, (line) => !line.startsWith(fence));
  lines.shift();
  return html`<pre tabindex="0"><code>${body.join("\n")}</code></pre>`;
}

function indented(lines) {
  const body = take(lines, (line) => line.startsWith("    "));
  return html`<pre tabindex="0"><code>${body.map((line) => line.slice(4)).join("\n")}</code></pre>`;
}

function table(lines) {
  const rows = take(lines, (line) => /^\|.*\|\s*$/.test(line)).map((line) => line.trim().slice(1, -1).split("|").map((cell) => cell.trim()));
  const ruled = rows[1]?.every((cell) => /^:?-+:?$/.test(cell));
  const [head, body] = ruled ? [rows[0], rows.slice(2)] : [null, rows];
  return html`<div class="scroll-x" tabindex="0"><table>
    ${head && html`<thead><tr>${head.map((cell) => html`<th>${inline(cell)}</th>`)}</tr></thead>`}
    <tbody>${body.map((row) => html`<tr>${row.map((cell) => html`<td>${inline(cell)}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}

function list(lines, tag, mark) {
  const items = [];
  while (lines.length && (mark.test(lines[0]) || (items.length && /^\s+\S/.test(lines[0])))) {
    const line = lines.shift();
    if (mark.test(line)) items.push(line.replace(mark, ""));
    else items[items.length - 1] += ` ${line.trim()}`;
  }
  return h(tag, null, items.map((item) => html`<li>${inline(item)}</li>`));
}

function paragraph(lines) {
  const body = take(lines, (line) => line.trim() && !/^(#{1,6} |```|~~~)/.test(line));
  return html`<p>${inline(body.join(" "))}</p>`;
}
