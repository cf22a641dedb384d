/** Recording of live play: what is seen between two presses becomes a clip of the gallery, frame for frame. */
import { html, useEffect, useState } from "../../ui.js";
import { worlds } from "../../api.js";
import { submit, toast } from "../../store.js";
import { go } from "../../router.js";
import { trim } from "../../format.js";
import { Button } from "../../components/basics.js";

/** @param {{world: import("../../api.js").World, now: {past_frames?: number}}} props */
export function Record({ world, now }) {
  const [from, setFrom] = useState(null);
  const [busy, setBusy] = useState(false);
  const past = now.past_frames ?? world.past_frames;
  useEffect(() => {
    // A rewind takes recorded frames away; the recording goes on from there.
    if (from !== null && past < from) setFrom(past);
  }, [past]);
  const frames = from === null ? 0 : past - from + 1;
  const stop = async () => {
    setBusy(true);
    const video = await submit(() => worlds.record(world.id, frames));
    setBusy(false);
    if (!video) return;
    setFrom(null);
    toast("The recording comes into the gallery", { kind: "good", action: { label: "Open it", run: () => go("gallery", video.id) } });
  };
  if (from === null) return html`<${Button} icon="record" onClick=${() => setFrom(past)} testid="record">Record<//>`;
  return html`<${Button} icon="record" kind="recording" busy=${busy} onClick=${stop} testid="record-stop">Keep ${trim(frames / world.fps)} s<//>
    <${Button} kind="quiet" disabled=${busy} onClick=${() => setFrom(null)} testid="record-cancel">Do not keep<//>`;
}
