/** The cast of a production: who is filmed, in words, and pictures with which takes are compared. */
import { html, classes, useRef, useState } from "../../ui.js";
import { files, productions } from "../../api.js";
import { castSentence } from "../../capabilities.js";
import { spoken, toast } from "../../store.js";
import { Button, Check } from "../../components/basics.js";
import { PictureButtons, droppedPicture } from "../../components/pictures.js";

export function CastPanel({ production, decide }) {
  const { id, look, model, script } = production;
  /** What was chosen, until the server has answered. */
  const [wanted, setWanted] = useState(null);
  const cast = script.cast ?? [];
  if (!cast.length) return null;
  const compare = async (checked) => {
    setWanted(checked);
    await decide(() => productions.compareLooks(id, checked));
    setWanted(null);
  };
  const pictured = cast.some((member) => member.pictures?.length);
  return html`<section class="panel production-cast" aria-label="Cast" data-testid="cast">
    <div class="row between"><h2>Cast</h2>
      ${(pictured || look) && html`<${Check} label="Compare takes with the pictures" checked=${wanted ?? look} testid="compare-looks" onChange=${compare} />`}</div>
    <ul class="members">${cast.map((member) => html`<${Member} key=${member.id} production=${id} member=${member} decide=${decide} />`)}</ul>
    <p class="hint" data-testid="cast-hint">${castSentence(model, look)}</p>
  </section>`;
}

function Member({ production, member, decide }) {
  const { id, name, look, pictures = [] } = member;
  const [over, setOver] = useState(false);
  const [busy, setBusy] = useState(false);
  const item = useRef(null);
  /** What the server last said: an upload takes its time, in which another picture may come or go. */
  const current = useRef(pictures);
  current.current = pictures;
  const save = (next) => decide(() => productions.picture(production, id, next));
  const add = async (getting) => {
    setBusy(true);
    const picture = await getting;
    if (picture && (await save([...current.current, picture.file_id]))) spoken.value = `A picture of ${name} is added`;
    setBusy(false);
  };
  const remove = async (file) => {
    const place = current.current.indexOf(file);
    if (!(await save(current.current.filter((one) => one !== file)))) return;
    item.current?.querySelector("button[data-testid=cast-file]")?.focus();
    toast(`A picture of ${name} is out`, { action: { label: "Undo", run: () => save(current.current.toSpliced(place, 0, file)) } });
  };
  const drop = (event) => {
    event.preventDefault();
    setOver(false);
    const picture = busy ? null : droppedPicture(event);
    if (picture) add(picture);
  };
  return html`<li class=${classes("member", { over })} ref=${item} data-testid="cast-member" data-id=${id}
    onDragOver=${(event) => (event.preventDefault(), setOver(true))} onDragLeave=${() => setOver(false)} onDrop=${drop}>
    <div class="member-name"><b>${name}</b><span class="quiet">${look}</span></div>
    ${!pictures.length && html`<p class="hint">Drop a picture, or a frame of a clip</p>`}
    ${pictures.length > 0 && html`<ul class="member-pictures" aria-label=${`Pictures of ${name}`}>${pictures.map((file, i) => html`<${MemberPicture} key=${file}
      file=${file} name=${`picture ${i + 1} of ${name}`} onRemove=${() => remove(file)} />`)}</ul>`}
    <div class="row"><${PictureButtons} onGive=${add} busy=${busy} kind="small" labels=${[`File that shows ${name}`, `Clip that shows ${name}`]}
      testids=${["cast-file", "cast-frame"]} /></div>
  </li>`;
}

function MemberPicture({ file, name, onRemove }) {
  const [lost, setLost] = useState(false);
  return html`<li class="member-picture" data-testid="cast-picture" data-id=${file}>
    ${lost ? html`<span class="lost">gone</span>` : html`<img src=${files.url(file)} alt=${name.replace(/^p/, "P")} draggable=${false} onError=${() => setLost(true)} />`}
    <${Button} icon="close" kind="tiny" label=${`Remove ${name}`} onClick=${onRemove} testid="cast-remove" /></li>`;
}
