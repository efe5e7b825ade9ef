// Asks the server: single requests, what is asked again and again, and streams of differences.
import { useEffect, useRef } from "./preact.js";

const KEY = "rivulet.token";

/** Why a request was not carried out; `status` is 0 where the server cannot be reached. */
export class Refused extends Error {
  constructor(status, error = {}) {
    super(error.message ?? `the server answered ${status}`);
    Object.assign(this, { status, code: error.code, path: error.path, hint: error.hint, faults: error.faults ?? [] });
  }
}

/** Tells "denied" when a token is wanted, and "token" when there is another one. */
export const session = new EventTarget();

// The token lives as long as the tab, and nowhere else.
export function setToken(token) {
  sessionStorage.setItem(KEY, token);
  session.dispatchEvent(new Event("token"));
}

async function send(path, { method = "GET", body, headers = {}, signal } = {}) {
  const token = sessionStorage.getItem(KEY);
  if (token) headers = { ...headers, authorization: `Bearer ${token}` };
  let response;
  try {
    response = await fetch(path, { method, body, headers, signal });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refused(0, { message: "the server cannot be reached" });
  }
  if (response.ok) return response;
  const { error } = await response.json().catch((error) => {
    if (signal?.aborted) throw error;
    return {};
  });
  const refused = new Refused(response.status, error);
  if (response.status === 401 || response.status === 403) {
    session.dispatchEvent(new CustomEvent("denied", { detail: refused }));
  }
  throw refused;
}

export const ask = async (path, options) => (await send(path, options)).json();
export const askText = async (path, options) => (await send(path, options)).text();

/** A path with its ids and questions put in safely. */
export function at(parts, ...values) {
  return parts.reduce((path, part, index) => path + encodeURIComponent(values[index - 1]) + part);
}

/**
 * Asks every `ms`, and at once when there is a new token; not while nobody looks, and never so often
 * that the server does little else.
 */
export function usePoll(ms, work, inputs = []) {
  const latest = useRef(work);
  latest.current = work;
  useEffect(() => {
    let timer;
    const aborting = new AbortController();
    const turn = async () => {
      clearTimeout(timer);
      const began = performance.now();
      if (!document.hidden) {
        try {
          await latest.current(aborting.signal);
        } catch (error) {
          // One that fails is asked again; what is no refusal is a fault, and is told.
          if (!(error instanceof Refused) && !aborting.signal.aborted) reportError(error);
        }
      }
      const took = performance.now() - began;
      if (!aborting.signal.aborted) timer = setTimeout(turn, Math.max(ms, 5 * took));
    };
    turn();
    const again = () => document.hidden || turn();
    session.addEventListener("token", turn);
    document.addEventListener("visibilitychange", again);
    return () => {
      aborting.abort();
      clearTimeout(timer);
      session.removeEventListener("token", turn);
      document.removeEventListener("visibilitychange", again);
    };
  }, [ms, ...inputs]);
}

const pause = (ms, signal) =>
  new Promise((done) => {
    const end = () => {
      clearTimeout(timer);
      session.removeEventListener("token", end);
      signal.removeEventListener("abort", end);
      done();
    };
    const timer = setTimeout(end, ms);
    session.addEventListener("token", end);
    signal.addEventListener("abort", end);
  });

/**
 * Follows a stream of differences until it is aborted, and goes on where it was when it is cut off.
 * `take` gets each batch; `tell` what has become of the stream: "live", "waiting", "dropped" or a
 * refusal.
 */
export async function follow(path, { signal, take, tell }) {
  let seen;
  let wait = 500;
  while (!signal.aborted) {
    try {
      const headers = seen ? { "last-event-id": seen } : {};
      const response = await send(path, { headers, signal });
      wait = 500;
      tell("live");
      for await (const block of blocks(response.body)) {
        const batch = [];
        for (const text of block) {
          if (text.startsWith("event: dropped")) {
            seen = undefined;
            tell("dropped");
            continue;
          }
          const data = text.indexOf("data: ");
          if (data < 0) continue;
          seen = text.slice(4, text.indexOf("\n"));
          batch.push(JSON.parse(text.slice(data + 6)));
        }
        if (batch.length > 0) take(batch);
      }
      tell("waiting");
    } catch (error) {
      if (signal.aborted) return;
      // What the server would refuse again is not asked again.
      if (error instanceof Refused && error.status === 410) seen = undefined;
      if (error instanceof Refused && error.status > 0) tell(error);
      else tell("waiting");
      if (error instanceof Refused && [400, 404, 410].includes(error.status)) return;
    }
    await pause(wait, signal);
    wait = Math.min(wait * 2, 10_000);
  }
}

/** The blocks of a stream, parted by empty lines: as many at a time as have come. */
async function* blocks(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    if (parts.length > 0) yield parts;
  }
}
