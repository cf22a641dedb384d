/** Gallery: all clips; find them, name them, leaf through them, open one, or do something with several. */
import { html, classes, useEffect, useMemo, useRef, useState } from "../ui.js";
import { videos } from "../api.js";
import { ended, removeWithUndo } from "../store.js";
import { go } from "../router.js";
import { ago, title, trim } from "../format.js";
import { reasonOf } from "../reasons.js";
import { projectName } from "../projects.js";
import { Button, Empty, Note, Skeleton } from "../components/basics.js";
import { Thumb } from "../components/thumb.js";
import { ClipDetail } from "./gallery/detail.js";
import { ALL, Filters, isFiltered, queryOf } from "./gallery/filters.js";
import { Favorite } from "./gallery/labels.js";
import { PickedBar } from "./gallery/picked.js";

const PAGE = 24;
const SHOWN = (clip) => !clip.kinema.deleted && (clip.status === "completed" || (clip.status === "failed" && !clip.kinema.cancelled));

/** The clips that match, page after page. */
function useClips(filters) {
  const [state, setState] = useState({ clips: null, last: null, more: true, error: null });
  const turn = useRef(0);
  const busy = useRef(false);
  const load = async (fresh) => {
    if (busy.current && !fresh) return;
    const mine = fresh ? ++turn.current : turn.current;
    busy.current = true;
    try {
      const page = await videos.list({ limit: PAGE, ...queryOf(filters), after: fresh ? null : state.last });
      if (mine !== turn.current) return;
      const clips = page.data.filter(SHOWN);
      setState((before) => ({ clips: fresh ? clips : [...before.clips, ...clips], last: page.last_id, more: page.has_more, error: null }));
    } catch (error) {
      if (mine === turn.current) setState((before) => ({ ...before, error, more: false }));
    } finally {
      if (mine === turn.current) busy.current = false;
    }
  };
  const text = JSON.stringify(filters);
  useEffect(() => {
    const timer = setTimeout(() => load(true), filters.search ? 250 : 0);
    return () => clearTimeout(timer);
  }, [text, ended.value?.id]);
  /** Puts changed clips in the place of what they were. */
  const put = (changed) =>
    setState((before) => ({ ...before, clips: before.clips?.map((clip) => changed.find((one) => one.id === clip.id) ?? clip) ?? null }));
  return { ...state, load, put, reload: () => load(true) };
}

export function Gallery({ id }) {
  const [filters, setFilters] = useState(ALL);
  const set = (changes) => setFilters({ ...filters, ...changes });
  const [picked, setPicked] = useState([]);
  const last = useRef(null);
  const { clips, more, error, load, put, reload } = useClips(filters);
  const foot = useRef(null);
  useEffect(() => {
    if (!foot.current || !more || !clips) return undefined;
    const watcher = new IntersectionObserver(([entry]) => entry.isIntersecting && load(false), { rootMargin: "400px" });
    watcher.observe(foot.current);
    return () => watcher.disconnect();
  }, [more, clips]);
  const tags = useMemo(() => [...new Set((clips ?? []).flatMap((clip) => clip.kinema.tags))].sort(), [clips]);
  const isPicked = (clip) => picked.some((one) => one.id === clip.id);
  /** With shift: all from the last one that was chosen. */
  const flip = (clip, shift) => {
    const [from, to] = [last.current, clip.id].map((one) => clips.findIndex((other) => other.id === one));
    last.current = clip.id;
    if (shift && from >= 0) return setPicked([...picked, ...clips.slice(Math.min(from, to), Math.max(from, to) + 1).filter((one) => !isPicked(one))]);
    return setPicked(isPicked(clip) ? picked.filter((one) => one.id !== clip.id) : [...picked, clip]);
  };
  const changed = (all) => {
    put(all);
    setPicked((before) => before.map((clip) => all.find((one) => one.id === clip.id) ?? clip));
  };
  const remove = (gone) => {
    setPicked(picked.filter((one) => !gone.some((other) => other.id === one.id)));
    removeWithUndo(gone, reload);
  };
  return html`<div class=${classes("gallery", { picking: picked.length > 0 })}>
    <header class="room-head">
      <div><h1>Gallery</h1><p>Leaf through a clip with the pointer or the arrow keys. Choose several to do something with all of them.</p></div>
      <input type="search" class="search" placeholder="Search by words" aria-label="Search the gallery" value=${filters.search}
        onInput=${(event) => set({ search: event.currentTarget.value })} data-testid="search" />
    </header>
    <${Filters} filters=${filters} set=${set} tags=${tags} />
    <${Note} error=${error} retry=${reload} />
    ${!clips && !error && html`<${Skeleton} count=${18} />`}
    ${clips?.length === 0 && !more && (isFiltered(filters)
      ? html`<${Empty} title=${filters.search ? "No clip says that" : "No clip is like that"}>${filters.search ? `Nothing filmed so far has “${filters.search}” in its prompt or title.` : "Choose other filters, or show all."}<//>`
      : html`<${Empty} title="The shelf is empty">Clips that you film are kept here. <a href="#/create">Film the first one</a>.<//>`)}
    <ul class="thumbs" data-testid="gallery">
      ${(clips ?? []).map((clip) => html`<li key=${clip.id}>
        <${Card} clip=${clip} picked=${isPicked(clip)} onPick=${(shift) => flip(clip, shift)} onChange=${changed} onTag=${(tag) => set({ tag })} /></li>`)}
    </ul>
    <div class="load-more" ref=${foot}>${clips && more && html`<${Button} onClick=${() => load(false)} testid="load-more">Show more<//>`}</div>
    ${picked.length > 0 && html`<${PickedBar} picked=${picked} all=${clips ?? []} setPicked=${setPicked} onRemove=${remove} onChange=${changed} />`}
    ${id && html`<${ClipDetail} id=${id} key=${id} onClose=${() => go("gallery")} onRemove=${(clip) => (go("gallery"), remove([clip]))} onChange=${changed} />`}
  </div>`;
}

/** "4 s · 64×64 · seed 7"; only of filmed clips does the seed say something. */
function short(clip) {
  const { kind, seed } = clip.kinema;
  const parts = [`${trim(clip.seconds)} s`, clip.size.replace("x", "×"), kind === "generate" && seed !== null && `seed ${seed}`];
  return parts.filter(Boolean).join(" · ");
}

function Card({ clip, picked, onPick, onChange, onTag }) {
  const open = () => go("gallery", clip.id);
  const name = title(clip);
  const shift = useRef(false);
  const project = projectName(clip.kinema.project);
  return html`<figure class="clip-card gallery-card" data-testid="card" data-id=${clip.id}>
    <label class="pick"><input type="checkbox" checked=${picked} onClick=${(event) => (shift.current = event.shiftKey)} onChange=${() => onPick(shift.current)}
      aria-label=${`Choose ${name}`} data-testid="pick" /></label>
    <span class=${classes("star", { on: clip.kinema.favorite })}><${Favorite} clip=${clip} onChange=${onChange} /></span>
    ${clip.status === "failed"
      ? html`<button type="button" class="failure" onClick=${open} aria-label=${`Open ${name}`}>
        <span>${reasonOf(clip).message}</span></button>`
      : html`<${Thumb} video=${clip} onOpen=${open} active=${picked} />`}
    <figcaption>${name}</figcaption>
    <p class="card-foot mono">${short(clip)}<br />${ago(clip.created_at)}${project ? ` · ${project}` : ""}</p>
    ${clip.kinema.tags.length > 0 && html`<div class="chips">${clip.kinema.tags.map((tag) => html`<button type="button" class="chip" key=${tag}
      aria-label=${`Show clips with the tag ${tag}`} onClick=${() => onTag(tag)} data-testid="card-tag">${tag}</button>`)}</div>`}
  </figure>`;
}
