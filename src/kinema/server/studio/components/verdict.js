/** What a check of a file found: one sentence, then the parts it rests on. */
import { html, classes } from "../ui.js";
import { date, trim } from "../format.js";

const SIGNED = {
  valid: "Signed, and unchanged since",
  invalid: "There is one, but it does not fit the file",
  none: "None in this file",
};

/** @param {{verdict: Object}} props the answer of POST /v1/verify */
export function Verdict({ verdict }) {
  const manifest = typeof verdict.manifest === "string" ? { state: verdict.manifest } : (verdict.manifest ?? { state: "none" });
  const mark = verdict.watermark ?? { found: false };
  const rows = [
    ["Manifest", SIGNED[manifest.state] ?? manifest.state],
    ["Model", manifest.model],
    ["Made", manifest.made_at && date(typeof manifest.made_at === "number" ? manifest.made_at : Date.parse(manifest.made_at) / 1000)],
    ["Settings", manifest.settings_hash, true],
    ["Signed by", manifest.signer, true],
    ["Watermark", mark.found ? `Found${mark.id ? `: ${mark.id}` : ""}` : "Not found"],
    ["Strength of the mark", mark.score !== null && mark.score !== undefined ? trim(mark.score, 3) : null],
    ["This server's", verdict.known_video],
  ];
  return html`<section class=${classes("verdict", verdict.made_by_kinema ? "yes" : "no")} role="status"
    data-testid="verdict" data-made=${String(Boolean(verdict.made_by_kinema))}>
    <p class="sentence">${verdict.verdict}</p>
    <dl class="facts">${rows.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value, long]) => html`<dt key=${name}>${name}
      </dt><dd class=${long ? "mono" : ""}>${value}</dd>`)}</dl>
  </section>`;
}
