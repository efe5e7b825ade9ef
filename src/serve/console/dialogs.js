// What is asked before going on: a token, whether something is really to be deleted; and what keys
// there are.
import { html, useEffect, useRef, useState } from "./preact.js";
import { setToken } from "./api.js";

function Dialog({ title, onClose, children }) {
  const own = useRef();
  useEffect(() => {
    own.current.showModal();
  }, []);
  return html`
    <dialog ref=${own} aria-labelledby="dialog-title" onClose=${onClose}>
      <h2 id="dialog-title">${title}</h2>
      ${children}
    </dialog>`;
}

export function TokenDialog({ denied, onClose }) {
  const [text, setText] = useState("");
  const submitted = (event) => {
    event.preventDefault();
    setToken(text.trim());
    onClose();
  };
  return html`
    <${Dialog} title="A token is asked for" onClose=${onClose}>
      <p>${denied?.status === 403 ? `${denied.message}.` : "This job answers only those who bear a token."} It is kept until this tab is closed, and sent to this server only.</p>
      <form onSubmit=${submitted}>
        <label for="token">Token</label>
        <input id="token" type="password" autocomplete="off" required value=${text} onInput=${(event) => setText(event.target.value)} />
        <p class="actions">
          <button type="button" onClick=${onClose}>Not now</button>
          <button type="submit" class="main">Go on</button>
        </p>
      </form>
    <//>`;
}

export function ConfirmDialog({ title, text, word, onClose, onConfirm }) {
  return html`
    <${Dialog} title=${title} onClose=${onClose}>
      <p>${text}</p>
      <p class="actions">
        <button type="button" onClick=${onClose}>Keep it</button>
        <button type="button" class="danger" onClick=${() => { onConfirm(); onClose(); }}>${word}</button>
      </p>
    <//>`;
}

export const KEYS = [
  ["/", "Search segments"],
  ["u", "Look a user up"],
  ["d", "Live differences"],
  ["e", "Edit the rule"],
  ["n", "New segment"],
  ["p", "Pause or resume the differences"],
  ["?", "These shortcuts"],
];

const FIXED = [
  ["↑ ↓ Page Home End", "Move within a list"],
  ["Enter", "Open what is chosen: of a difference, the user"],
  ["Shift Enter", "Of a difference, the segment"],
  ["Ctrl S", "Save the rule, in the editor"],
  ["Ctrl Space", "Complete, in the editor"],
];

export function KeysDialog({ areOn, onToggle, onClose }) {
  const rows = (keys) => keys.map(([key, what]) => html`<tr><th scope="row"><kbd>${key}</kbd></th><td>${what}</td></tr>`);
  return html`
    <${Dialog} title="Keyboard" onClose=${onClose}>
      <table><tbody>${rows(KEYS)}${rows(FIXED)}</tbody></table>
      <label class="check"><input type="checkbox" checked=${areOn} onChange=${(event) => onToggle(event.target.checked)} /> Shortcuts of a single key</label>
      <p class="actions"><button type="button" class="main" onClick=${onClose}>Close</button></p>
    <//>`;
}
