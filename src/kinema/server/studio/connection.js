/** How long to wait before the next try, and which errors say that the server is away. */

const FIRST_MS = 700;
const LONGEST_MS = 30000;
const JITTER = 0.2;

/** Milliseconds until the next try: twice as long each time up to 30 s, and never in step with other tabs. */
export function retryDelay(tries, random = Math.random) {
  return Math.min(FIRST_MS * 2 ** Math.min(tries, 16), LONGEST_MS) * (1 + JITTER * (2 * random() - 1));
}

/** Whether an error means that no server answered: none at all, or a proxy in its place. */
export const isAway = (error) => [0, 502, 503, 504].includes(error?.status);
