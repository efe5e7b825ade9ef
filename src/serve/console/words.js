// What the editor completes: the words of the published schema, the segments there are, and the
// events, attributes, properties and values that their definitions speak of.
import { ask, at } from "./api.js";

/** How many definitions are looked at for names. */
const LOOKED_AT = 200;
/** Keys whose values name something that others name too. */
const NAMING = ["event", "attribute", "property", "value", "within", "window", "held", "sample"];

/** The keys of the schema, and the words a value may be: key -> {says, values}. */
export function ofSchema(schema) {
  const keys = new Map();
  const resolve = (node) => {
    const name = node?.$ref?.split("/").at(-1);
    return name ? { ...schema.$defs[name], ...node, $ref: undefined } : node;
  };
  const valuesOf = (node) => {
    const it = resolve(node);
    if (typeof it !== "object" || it === null) return [];
    const own = it.enum ?? ("const" in it ? [it.const] : []);
    return [...own, ...[...(it.anyOf ?? []), ...(it.oneOf ?? [])].flatMap(valuesOf)];
  };
  const walk = (node) => {
    if (typeof node !== "object" || node === null) return;
    for (const [key, property] of Object.entries(node.properties ?? {})) {
      if (key.startsWith("$")) continue;
      const known = keys.get(key) ?? { says: "", values: new Set() };
      known.says ||= property.description ?? resolve(property)?.description ?? "";
      for (const value of valuesOf(property)) known.values.add(value);
      keys.set(key, known);
    }
    for (const [name, child] of Object.entries(node)) if (name !== "enum" && name !== "const") walk(child);
  };
  walk(schema);
  return keys;
}

/** What values of these keys a definition has, put into `seen`: key -> value -> how often. */
function look(node, seen) {
  if (Array.isArray(node)) return node.forEach((it) => look(it, seen));
  if (typeof node !== "object" || node === null) return;
  for (const [key, value] of Object.entries(node)) {
    if (NAMING.includes(key)) {
      for (const one of Array.isArray(value) ? value : [value]) {
        if (typeof one !== "string" && typeof one !== "number") continue;
        const of = seen.get(key) ?? new Map();
        of.set(one, (of.get(one) ?? 0) + 1);
        seen.set(key, of);
      }
    }
    look(value, seen);
  }
}

/** Gathers the words once; the ids of segments are looked up whenever they are wanted. */
export async function gather(ids) {
  const schema = await ask("/console/segment.schema.json");
  const seen = new Map();
  const some = ids().slice(0, LOOKED_AT);
  for (let first = 0; first < some.length; first += 4) {
    const found = some.slice(first, first + 4).map((id) => ask(at`/v1/segments/${id}`).catch(() => null));
    for (const it of await Promise.all(found)) look(it?.definition, seen);
  }
  return { keys: ofSchema(schema), seen, ids };
}

/** What could stand where the cursor is: `before` is the text up to there. */
export function completions(words, before) {
  const open = /"([^"\\\n]*)$/.exec(before);
  const isOpen = open && (before.slice(before.lastIndexOf("\n") + 1).match(/(?<!\\)"/g) ?? []).length % 2 === 1;
  const from = isOpen ? before.length - open[1].length : before.length;
  const ahead = isOpen ? before.slice(0, from - 1) : before;
  const value = /"([^"\\\n]*)"\s*:\s*(?:\[[^\]{}]*)?$/.exec(ahead);
  if (value) return { from, isOpen, options: values(words, value[1]) };
  if (/[{,]\s*$/.test(ahead)) {
    const options = [...words.keys].map(([label, { says }]) => ({ label, detail: says, type: "property", isKey: true }));
    return { from, isOpen, options };
  }
  return null;
}

function values({ keys, seen, ids }, key) {
  const options = [];
  for (const value of keys.get(key)?.values ?? []) options.push({ label: String(value), value, type: "keyword" });
  if (key === "segment") for (const id of ids()) options.push({ label: id, value: id, type: "class", detail: "segment" });
  for (const [value, times] of seen.get(key) ?? []) {
    const detail = `in ${times} condition${times === 1 ? "" : "s"}`;
    options.push({ label: String(value), value, type: "text", detail, boost: Math.min(times, 50) });
  }
  return options;
}
