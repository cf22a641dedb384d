/** Gallery: all clips; leaf through them, open one, or lay several side by side. */
import { html, classes, useEffect, useRef, useState } from "../ui.js";
import { videos } from "../api.js";
import { ended, removeWithUndo } from "../store.js";
import { go } from "../router.js";
import { ago, plural, title, trim } from "../format.js";
import { Button, Empty, Note, Skeleton } from "../components/basics.js";
import { Thumb } from "../components/thumb.js";
import { ClipDetail } from "./gallery/detail.js";
import { Compare } from "./gallery/compare.js";

const PAGE = 24;

/** The clips that match, page after page. */
function useClips(search) {
  const [state, setState] = useState({ clips: null, last: null, more: true, error: null });
  const turn = useRef(0);
  const busy = useRef(false);
  const load = async (fresh) => {
    if (busy.current && !fresh) return;
    const mine = fresh ? ++turn.current : turn.current;
    busy.current = true;
    try {
      const page = await videos.list({ limit: PAGE, order: "desc", search, after: fresh ? null : state.last });
      if (mine !== turn.current) return;
      const clips = page.data.filter((clip) => !clip.kinema.deleted && (clip.status === "completed" || (clip.status === "failed" && !clip.kinema.cancelled)));
      setState((before) => ({ clips: fresh ? clips : [...before.clips, ...clips], last: page.last_id, more: page.has_more, error: null }));
    } catch (error) {
      if (mine === turn.current) setState((before) => ({ ...before, error, more: false }));
    } finally {
      busy.current = false;
    }
  };
  useEffect(() => {
    const timer = setTimeout(() => load(true), search ? 250 : 0);
    return () => clearTimeout(timer);
  }, [search, ended.value?.id]);
  return { ...state, load, reload: () => load(true) };
}

export function Gallery({ id }) {
  const [search, setSearch] = useState("");
  const [picked, setPicked] = useState([]);
  const [comparing, setComparing] = useState(false);
  const { clips, more, error, load, reload } = useClips(search);
  const foot = useRef(null);
  useEffect(() => {
    if (!foot.current || !more || !clips) return undefined;
    const watcher = new IntersectionObserver(([entry]) => entry.isIntersecting && load(false), { rootMargin: "400px" });
    watcher.observe(foot.current);
    return () => watcher.disconnect();
  }, [more, clips]);
  const flip = (clip) => setPicked(picked.some((one) => one.id === clip.id) ? picked.filter((one) => one.id !== clip.id) : [...picked, clip]);
  const remove = (gone) => {
    setPicked(picked.filter((one) => !gone.some((other) => other.id === one.id)));
    removeWithUndo(gone, reload);
  };
  const playable = picked.filter((clip) => clip.status === "completed");
  return html`<div class=${classes("gallery", { picking: picked.length > 0 })}>
    <header class="room-head">
      <div><h1>Gallery</h1><p>Leaf through a clip with the pointer or the arrow keys. Choose two or more to compare them.</p></div>
      <input type="search" class="search" placeholder="Search by words" aria-label="Search the gallery" value=${search}
        onInput=${(event) => setSearch(event.currentTarget.value)} data-testid="search" />
    </header>
    <${Note} error=${error} retry=${reload} />
    ${!clips && !error && html`<${Skeleton} count=${18} />`}
    ${clips?.length === 0 && (search
      ? html`<${Empty} title="No clip says that">Nothing filmed so far has “${search}” in its prompt.<//>`
      : html`<${Empty} title="The shelf is empty">Clips that you film are kept here. <a href="#/create">Film the first one</a>.<//>`)}
    <ul class="thumbs" data-testid="gallery">
      ${(clips ?? []).map((clip) => html`<li key=${clip.id}>
        <${Card} clip=${clip} picked=${picked.some((one) => one.id === clip.id)} onPick=${() => flip(clip)} /></li>`)}
    </ul>
    <div class="load-more" ref=${foot}>${clips && more && html`<${Button} onClick=${() => load(false)} testid="load-more">Show more<//>`}</div>
    ${picked.length > 0 && html`<div class="bar" role="toolbar" aria-label="Chosen clips" data-testid="picked-bar">
      <strong>${plural(picked.length, "clip")} chosen</strong>
      <${Button} icon="compare" disabled=${playable.length < 2} onClick=${() => setComparing(true)} testid="compare">Compare<//>
      <${Button} icon="trash" kind="danger" onClick=${() => remove(picked)} testid="delete-picked">Delete<//>
      <${Button} kind="quiet" onClick=${() => setPicked([])} testid="clear-picked">Clear<//>
    </div>`}
    ${comparing && html`<${Compare} clips=${playable} onClose=${() => setComparing(false)} />`}
    ${id && html`<${ClipDetail} id=${id} key=${id} onClose=${() => go("gallery")} onRemove=${(clip) => (go("gallery"), remove([clip]))} />`}
  </div>`;
}

/** "4 s · 64×64 · seed 7"; only of filmed clips does the seed say something. */
function short(clip) {
  const { kind, seed } = clip.kinema;
  const parts = [`${trim(clip.seconds)} s`, clip.size.replace("x", "×"), kind === "generate" && seed !== null && `seed ${seed}`];
  return parts.filter(Boolean).join(" · ");
}

function Card({ clip, picked, onPick }) {
  const open = () => go("gallery", clip.id);
  const name = title(clip);
  return html`<figure class="clip-card gallery-card" data-testid="card" data-id=${clip.id}>
    <label class="pick"><input type="checkbox" checked=${picked} onChange=${onPick} aria-label=${`Choose ${name}`} data-testid="pick" /></label>
    ${clip.status === "failed"
      ? html`<button type="button" class="failure" onClick=${open} aria-label=${`Open ${name}`}>
        <span>${clip.error?.message ?? "Failed"}</span></button>`
      : html`<${Thumb} video=${clip} onOpen=${open} active=${picked} />`}
    <figcaption>${name}</figcaption>
    <p class="card-foot mono">${short(clip)}<br />${ago(clip.created_at)}</p>
  </figure>`;
}
