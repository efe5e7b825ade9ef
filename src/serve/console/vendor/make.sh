#!/usr/bin/env bash
# Makes the three scripts of this folder anew from the packages of npm, at these versions. Users and
# builds never run it: what it makes is kept in the repository.
set -euo pipefail
cd "$(dirname "$0")"
packages=(preact@11.2.0 htm@3.1.1 uplot@1.6.32
    @codemirror/view@6.43.15 @codemirror/state@6.7.6 @codemirror/commands@6.11.1
    @codemirror/language@6.13.1 @codemirror/lang-json@6.0.2 @codemirror/autocomplete@6.20.4
    @codemirror/lint@6.9.8 @lezer/highlight@1.2.5)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
printf '{"private":true}\n' >"$folder/package.json"
npm install --prefix "$folder" --silent --no-audit --no-fund "${packages[@]}" esbuild@0.28.2

cat >"$folder/preact.js" <<'JS'
import { h, render, Fragment } from "preact";
import htm from "htm";
export { render, Fragment };
export { useState, useEffect, useLayoutEffect, useRef, useMemo } from "preact/hooks";
export const html = htm.bind(h);
JS
printf 'export { default } from "uplot";\n' >"$folder/uplot.js"
cat >"$folder/codemirror.js" <<'JS'
export { EditorView, keymap, lineNumbers, drawSelection } from "@codemirror/view";
export { EditorState } from "@codemirror/state";
export { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
export { ensureSyntaxTree, bracketMatching, indentOnInput, syntaxHighlighting, HighlightStyle } from "@codemirror/language";
export { json } from "@codemirror/lang-json";
export { autocompletion, completionKeymap, closeBrackets, closeBracketsKeymap } from "@codemirror/autocomplete";
export { setDiagnostics, lintGutter, lintKeymap } from "@codemirror/lint";
export { tags } from "@lezer/highlight";
JS
banner() {
    case $1 in
        preact) echo 'Preact 11.2.0 (MIT), htm 3.1.1 (Apache-2.0)' ;;
        uplot) echo 'uPlot 1.6.32 (MIT)' ;;
        codemirror) echo 'CodeMirror 6, Lezer and what they use (MIT)' ;;
    esac
}
for name in preact uplot codemirror; do
    "$folder/node_modules/.bin/esbuild" "$folder/$name.js" --bundle --minify --format=esm \
        --legal-comments=none --log-level=warning --outfile="$name.js" \
        --banner:js="/*! $(banner "$name"): LICENSES has their licences, make.sh how this was made */"
done
cp "$folder/node_modules/uplot/dist/uPlot.min.css" uplot.css
{
    echo "The scripts of this folder are made of these packages."
    for licence in "$folder"/node_modules/{preact,htm,uplot,@codemirror/*,@lezer/*,style-mod,crelt,w3c-keyname,@marijn/*}/LICENSE*; do
        package=$(dirname "$licence")
        printf '\n==== %s %s\n\n' "${package#"$folder/node_modules/"}" \
            "$(node -p "require('$package/package.json').version")"
        cat "$licence"
    done
} >LICENSES
