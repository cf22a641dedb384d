/** Numbers that look random and are the same for the same seed: SplitMix32 spreads the seeds, sfc32 draws. */

function splitMix(state) {
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  };
}

/** Draws from [0, 1), for one frame of a world with a seed: a frame's draws do not depend on the frames before it. */
export function uniform(seed, frame) {
  const spread = splitMix(Math.imul(seed, 0x9e3779b1) ^ Math.imul(frame + 1, 0x85ebca77));
  let [a, b, c, counter] = [spread(), spread(), spread(), 1];
  const draw = () => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum | 0;
    return (sum >>> 0) / 4294967296;
  };
  for (let i = 0; i < 12; i += 1) draw();
  return draw;
}

/** So many draws from the unit normal distribution, by Box and Muller. */
export function normals(draw, count) {
  const made = new Float32Array(count);
  for (let i = 0; i < count; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - draw()));
    const angle = 2 * Math.PI * draw();
    made[i] = radius * Math.cos(angle);
    if (i + 1 < count) made[i + 1] = radius * Math.sin(angle);
  }
  return made;
}
