// The rule editor: CodeMirror, with what may stand where the cursor is, and what is wrong marked at
// the node it is about. It lives in a shadow root, where its styles need no leave of the page.
import { html, useEffect, useRef } from "./preact.js";
import { completions } from "./words.js";

const load = () => import("./codemirror.js");

/** The part of the text that a fault is about. */
function range(state, tree, { path = "", found = "" }) {
  const place = /^line (\d+) column (\d+)$/.exec(path);
  if (place) {
    const line = state.doc.line(Math.min(Number(place[1]), state.doc.lines));
    const from = Math.min(line.from + Math.max(0, Number(place[2]) - 1), line.to);
    return { from: Math.min(from, Math.max(0, state.doc.length - 1)), to: Math.min(from + 1, state.doc.length) };
  }
  let node = tree.topNode.firstChild;
  let name = null;
  for (const [, key, index] of path.matchAll(/([^.[\]]+)|\[(\d+)\]/g)) {
    const next = key === undefined ? element(node, Number(index)) : property(state, node, key);
    if (!next) break;
    name = key === undefined ? null : next.firstChild;
    node = key === undefined ? next : next.lastChild;
  }
  const key = /^the key "(.*)"$/.exec(found);
  const own = key && property(state, node, key[1]);
  if (own) return { from: own.firstChild.from, to: own.firstChild.to };
  // A whole object is not underlined: its name says it better.
  if (node && name && node.name === "Object") return { from: name.from, to: name.to };
  if (node && node.name === "Object") return { from: node.from, to: node.from + 1 };
  return node ? { from: node.from, to: node.to } : { from: 0, to: Math.min(1, state.doc.length) };
}

function property(state, node, key) {
  if (node?.name !== "Object") return null;
  for (const it of node.getChildren("Property")) {
    const name = it.firstChild;
    if (name && state.sliceDoc(name.from + 1, name.to - 1) === key) return it;
  }
  return null;
}

function element(node, index) {
  if (node?.name !== "Array") return null;
  let at = 0;
  for (let it = node.firstChild; it; it = it.nextSibling) {
    if (["[", "]", ",", "⚠"].includes(it.name)) continue;
    if (at === index) return it;
    at += 1;
  }
  return null;
}

/** `did you mean "gte"?` as something one can do. */
function remedies({ hint, found }, { from, to }) {
  const word = /did you mean "(.*?)"/.exec(hint ?? "");
  if (!word) return [];
  const apply = (view) => view.dispatch({ changes: { from, to, insert: JSON.stringify(word[1]) } });
  return /^(the key )?"/.test(found) ? [{ name: `Change to ${word[1]}`, apply }] : [];
}

function complete(words) {
  return async (context) => {
    const known = await words().catch(() => null);
    const found = known && await completions(known, context.state.doc.toString(), context.pos);
    if (!found || context.aborted || found.options.length === 0 || (!found.isOpen && !context.explicit)) return null;
    const option = ({ label, value, isKey, ...other }) => ({
      ...other,
      label,
      apply: (view, _, from, to) => {
        const after = view.state.sliceDoc(to, to + 200);
        const isText = isKey || typeof value === "string";
        const ahead = found.isOpen ? from - 1 : from;
        const behind = found.isOpen && after.startsWith('"') ? to + 1 : to;
        const colon = isKey && !/^"?\s*:/.test(after) ? ": " : "";
        const insert = (isText ? JSON.stringify(label) : label) + colon;
        view.dispatch({ changes: { from: ahead, to: behind, insert }, selection: { anchor: ahead + insert.length } });
      },
    });
    return { from: found.from, options: found.options.map(option), validFor: /^[^"\\]*$/ };
  };
}

function style({ EditorView, HighlightStyle, tags }) {
  const theme = EditorView.theme({
    "&": { height: "100%", fontSize: "13px", backgroundColor: "var(--well)", color: "var(--ink)" },
    "&.cm-focused": { outline: "2px solid var(--accent)", outlineOffset: "-2px" },
    ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.55" },
    ".cm-content": { caretColor: "var(--ink)", padding: "10px 0" },
    ".cm-cursor": { borderLeftColor: "var(--ink)" },
    ".cm-gutters": { backgroundColor: "transparent", color: "var(--muted)", border: "none" },
    ".cm-matchingBracket, &.cm-focused .cm-matchingBracket": { backgroundColor: "var(--hover)", outline: "1px solid var(--line)" },
    "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { background: "var(--select)" },
    ".cm-tooltip": { backgroundColor: "var(--panel)", color: "var(--ink)", border: "1px solid var(--line)", borderRadius: "8px", overflow: "hidden", boxShadow: "var(--shadow)" },
    ".cm-tooltip-autocomplete > ul": { fontFamily: "var(--mono)", maxHeight: "14em" },
    ".cm-tooltip-autocomplete > ul > li": { padding: "3px 10px" },
    ".cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--on-accent)" },
    ".cm-tooltip-autocomplete > ul > li[aria-selected] .cm-completionDetail": { color: "inherit" },
    ".cm-completionDetail": { color: "var(--muted)", fontStyle: "normal", fontFamily: "var(--sans)", marginLeft: "1em" },
    ".cm-completionMatchedText": { textDecoration: "none", fontWeight: "700" },
    ".cm-diagnostic": { padding: "6px 10px", fontFamily: "var(--sans)" },
    ".cm-diagnostic-error": { borderLeft: "4px solid var(--out)" },
    ".cm-diagnosticAction": { backgroundColor: "var(--accent)", color: "var(--on-accent)", borderRadius: "4px", padding: "2px 8px" },
    // A plain dot, where the usual picture would come from a data: address.
    ".cm-lint-marker-error": { content: "''", width: "8px", height: "8px", margin: "6px 3px", borderRadius: "50%", backgroundColor: "var(--out)" },
    ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--out)", textUnderlineOffset: "3px" },
  });
  const paint = HighlightStyle.define([
    { tag: tags.propertyName, color: "var(--key)" },
    { tag: tags.string, color: "var(--text)" },
    { tag: [tags.number, tags.bool, tags.null], color: "var(--number)" },
    { tag: [tags.separator, tags.brace, tags.squareBracket], color: "var(--muted)" },
  ]);
  return { theme, paint };
}

/**
 * `faults` are those of the text as it stands; `words` gives what can be completed, once known. What
 * is typed is told by `onChange`; `value` is put in place of it only when there is another `version`,
 * for a page may be behind somebody who types fast.
 */
export function Editor({ label, value, version, faults, words, onChange, onSave }) {
  const host = useRef();
  const made = useRef();
  const latest = useRef();
  latest.current = { value, faults, words, onChange, onSave };

  useEffect(() => {
    let isGone = false;
    load().then((cm) => {
      // It may be gone before this is told so.
      if (isGone || !host.current) return;
      const root = host.current.shadowRoot ?? host.current.attachShadow({ mode: "open" });
      const { theme, paint } = style(cm);
      const save = () => {
        latest.current.onSave();
        return true;
      };
      const extensions = [
        cm.lineNumbers(), cm.lintGutter(), cm.history(), cm.drawSelection(), cm.indentOnInput(),
        cm.bracketMatching(), cm.closeBrackets(), cm.json(), theme, cm.syntaxHighlighting(paint),
        cm.autocompletion({ override: [complete(() => latest.current.words())], maxRenderedOptions: 100, icons: false }),
        cm.EditorView.contentAttributes.of({ "aria-label": label, tabindex: "0" }),
        cm.EditorView.lineWrapping,
        cm.EditorView.updateListener.of((update) => {
          if (update.docChanged) latest.current.onChange(update.state.doc.toString());
        }),
        cm.keymap.of([
          { key: "Mod-s", run: save, preventDefault: true },
          ...cm.closeBracketsKeymap, ...cm.completionKeymap, ...cm.historyKeymap, ...cm.lintKeymap, ...cm.defaultKeymap,
        ]),
      ];
      const state = cm.EditorState.create({ doc: latest.current.value, extensions });
      const view = new cm.EditorView({ state, parent: root, root });
      made.current = { cm, view };
      mark();
    });
    return () => {
      isGone = true;
      made.current?.view.destroy();
      made.current = undefined;
    };
  }, []);

  const mark = () => {
    if (!made.current) return;
    const { cm, view } = made.current;
    const tree = cm.ensureSyntaxTree(view.state, view.state.doc.length, 200);
    if (!tree) return;
    const marks = latest.current.faults.map((fault) => {
      const place = range(view.state, tree, fault);
      const message = fault.found ? `found ${fault.found}; allowed: ${fault.allowed}` : fault.message;
      return { ...place, severity: "error", message, actions: remedies(fault, place) };
    });
    view.dispatch(cm.setDiagnostics(view.state, marks));
  };

  useEffect(() => {
    if (!made.current) return;
    const { view } = made.current;
    const now = view.state.doc.toString();
    if (now !== value) view.dispatch({ changes: { from: 0, to: now.length, insert: value } });
  }, [version]);
  useEffect(mark, [faults]);

  return html`<div class="editor" ref=${host}></div>`;
}
