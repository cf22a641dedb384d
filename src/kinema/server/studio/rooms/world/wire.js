/** A world on the wire as state of a page, and the line that is shown while the wire is cut. */
import { html, useEffect, useRef, useState } from "../../ui.js";
import { worlds } from "../../api.js";
import { toast } from "../../store.js";
import { Note } from "../../components/basics.js";
import { Countdown } from "../../components/away.js";
import { Controls, KeyControls, Live } from "./live.js";

/** A world on the wire. What changes with every frame is in `now`. */
export function useLive(first, canvas) {
  const [now, setNow] = useState({ time_s: first.time_s, state: first.state, entities: first.entities, reward: first.reward, terminated: first.terminated, frame: 0 });
  const [wire, setWire] = useState({ state: "connecting" });
  const [playing, setPlaying] = useState(false);
  const [action, setAction] = useState(null);
  const [key, setKey] = useState(null);
  /** When the episode of a recorded world last ended, in seconds of the world. */
  const [endedAt, setEndedAt] = useState(first.terminated ? first.time_s : null);
  const [rate, setRate] = useState(first.fps);
  const [ping, setPing] = useState(null);
  const live = useRef(null);
  const controls = useRef(null);
  const wanted = useRef(false);
  useEffect(() => {
    live.current = new Live(first.id, {
      onFrame: (told, picture) => {
        const target = canvas.current;
        if (target.width !== picture.width || target.height !== picture.height) Object.assign(target, { width: picture.width, height: picture.height });
        target.getContext("2d").drawImage(picture, 0, 0);
        if (told.round_trip_ms) setPing(told.round_trip_ms);
        setNow(told);
        setEndedAt((before) => (told.terminated ? told.time_s : before !== null && before > told.time_s ? null : before));
      },
      onState: (state, detail) => {
        setWire({ state, detail });
        if (state === "open" && wanted.current) live.current.send({ type: "play" });
      },
      onError: ({ message, code }) => {
        toast(message, { kind: "bad" });
        if (code === "world_in_play") {
          wanted.current = false;
          setPlaying(false);
        }
      },
    });
    const act = (next, key = null) => {
      live.current.act(next);
      setAction(next);
      setKey(key);
      if (next !== null && !wanted.current) play(true);
    };
    controls.current = first.state ? new Controls((next) => act(next)) : new KeyControls(first.controls.keys, act);
    const hidden = () => document.hidden && play(false);
    const again = () => live.current.again();
    document.addEventListener("visibilitychange", hidden);
    addEventListener("online", again);
    return () => {
      document.removeEventListener("visibilitychange", hidden);
      removeEventListener("online", again);
      live.current.close();
      controls.current.close();
    };
  }, [first.id]);
  const play = (on) => {
    wanted.current = on;
    setPlaying(on);
    live.current.send({ type: on ? "play" : "pause" });
  };
  const step = () => (play(false), live.current.step());
  const setFps = (fps) => (setRate(fps), live.current.pace(fps));
  /** Takes over what a change left behind, and shows its picture. */
  const adopt = (world) => {
    setNow((before) => ({ ...before, past_frames: world.past_frames, time_s: world.time_s, state: world.state, entities: world.entities, reward: world.reward, terminated: world.terminated }));
    // A live wire shows changes by itself.
    if (live.current.socket.readyState === WebSocket.OPEN) return;
    const picture = new Image();
    picture.onload = () => canvas.current?.getContext("2d").drawImage(picture, 0, 0, canvas.current.width, canvas.current.height);
    picture.src = worlds.frameUrl(first.id, 4, Date.now());
  };
  return { now, wire, playing, play, step, action, pressed: key, endedAt, rate, setFps, ping, controls, adopt, again: () => live.current.again(), close: () => live.current.close() };
}

/** Says that the wire is cut, when it is tried again, or why it is not. */
export function Wire({ live }) {
  const { state, detail } = live.wire;
  if (state === "over") return html`<${Note} error=${detail} testid="wire-over" />`;
  if (state !== "lost") return null;
  return html`<${Note} kind="bad" retry=${live.again} testid="wire-lost">Not connected to this world. Next try <${Countdown} at=${detail} /><//>`;
}
