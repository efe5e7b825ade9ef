// What the editor completes: the words of the published schema where they may stand, the segments
// there are, and the events, attributes, properties and common values that records have named.
import { ask, at } from "./api.js";
import { plural } from "./format.js";

/** For how long names and common values are taken to be what they were. */
const FRESH_MS = 5_000;
/** How much of a definition is read: beyond it nothing is completed. */
const READ = 100_000;
const NOTHING = { sampled: 0, events: [], attributes: [] };
/** What durations people write. */
const DURATIONS = ["10m", "30m", "1h", "1d", "7d", "30d", "90d"];
/** What the filter of an event may say. */
const FILTER = ["operator", "conditions", "attribute", "op", "value", "ignore_case"];

/** The keys of the schema, each with what it says and the words it may have; and which of them stand together. */
export function ofSchema(schema) {
  const [keys, shapes] = [new Map(), []];
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
    const own = Object.entries(node.properties ?? {}).filter(([key]) => !key.startsWith("$"));
    if (node.additionalProperties === false) shapes.push(own.map(([key]) => key));
    for (const [key, property] of own) {
      const known = keys.get(key) ?? { says: "", values: new Set() };
      known.says ||= property.description ?? resolve(property)?.description ?? "";
      for (const value of valuesOf(property)) known.values.add(value);
      keys.set(key, known);
    }
    for (const [name, child] of Object.entries(node)) if (name !== "enum" && name !== "const") walk(child);
  };
  walk(schema);
  return { keys, shapes };
}

let gathering;

/** The words, gathered when they are first wanted; `segments` are looked up whenever they are. */
export async function gather(segments) {
  gathering ??= ask("/console/segment.schema.json").then((schema) => ({ ...ofSchema(schema), names: NOTHING, asked: new Map() }));
  try {
    return Object.assign(await gathering, { segments });
  } catch (error) {
    gathering = undefined;
    throw error;
  }
}

/** What records have named meanwhile. */
async function freshen(words) {
  if (performance.now() - (words.at ?? -Infinity) < FRESH_MS) return;
  words.at = performance.now();
  words.names = await ask("/v1/names").catch(() => words.names);
}

const JSON_TOKEN = /"(?:[^"\\\n]|\\.)*"?|[{}[\]:,]|[^\s{}[\]:,"]+/g;
const unquoted = (token) => {
  try {
    return JSON.parse(token);
  } catch {
    return token.replace(/^"|"$/g, "");
  }
};

/**
 * Where in a definition the cursor is, however little of it is written: the objects around it with
 * what they say on either side of the cursor, the innermost last, each with the `key` it is the value
 * of. `at` is the key whose value the cursor is in, none where a key is to be; `from` is where what
 * is typed begins, within quotes if it `isOpen`.
 */
export function placeOf(text, cursor) {
  const root = { kind: "[", key: null, fields: new Map(), at: null };
  const open = [root];
  let [found, last] = [null, null];
  const note = (from, isOpen) => {
    const objects = open.filter((it) => it.kind === "{");
    found = { objects, at: open.at(-1).kind === "{" && open.at(-1).at === null ? null : objects.at(-1)?.at, from, isOpen, isList: open.at(-1).kind === "[" };
  };
  for (const { 0: token, index } of text.matchAll(JSON_TOKEN)) {
    const end = index + token.length;
    const isText = token[0] === '"';
    const isWhole = isText && token.length > 1 && token.endsWith('"');
    if (!found && cursor <= index) note(cursor, false);
    else if (!found && cursor < end + (isText && !isWhole ? 1 : 0)) note(isText ? index + 1 : index, isText);
    else if (!found && cursor === end && !isText && !/[{}[\]:,]/.test(token)) note(index, false);
    const top = open.at(-1);
    if (token === "{" || token === "[") {
      const key = top.kind === "{" ? top.at : top.key;
      const inner = { kind: token, key, fields: new Map(), at: null };
      if (top.kind === "{" && top.at !== null) top.fields.set(top.at, inner);
      open.push(inner);
    } else if ((token === "}" || token === "]") && open.length > 1) {
      open.pop();
    } else if (token === ",") {
      if (top.kind === "{") top.at = null;
    } else if (token === ":") {
      if (top.kind === "{" && typeof last === "string") top.at = last;
    } else if (top.kind === "{" && top.at !== null) {
      top.fields.set(top.at, unquoted(token));
    }
    last = isText ? unquoted(token) : token;
  }
  if (!found) note(cursor, false);
  return found;
}

/** What an attribute stands for here: one of the user, or a property of the event around it. */
function subject(objects) {
  const own = objects.at(-1).fields;
  const inner = objects.findLastIndex((it) => it.key === "where");
  const event = inner > 0 ? objects[inner - 1].fields.get("event") : undefined;
  if (inner > 0) return { event, property: own.get("attribute") };
  if (own.has("event")) return { event: own.get("event"), property: own.get("property") };
  return { attribute: own.get("attribute") };
}

/** The events that a name stands for; one that ends in * is how they begin. */
function eventsOf({ events }, name) {
  if (typeof name !== "string") return [];
  return name.endsWith("*") ? events.filter((it) => it.event.startsWith(name.slice(0, -1))) : events.filter((it) => it.event === name);
}

function propertiesOf(names, event) {
  const found = new Map();
  for (const { properties } of eventsOf(names, event)) {
    for (const it of properties) {
      const known = found.get(it.property);
      found.set(it.property, known ? { ...known, records: known.records + it.records } : it);
    }
  }
  return [...found.values()];
}

const share = (part, whole) => {
  const percent = (100 * part) / whole;
  return percent >= 1 ? `${Math.round(percent)} %` : "under 1 %";
};
/** The more frequent, the higher up; what is typed counts for more. */
const boost = (index) => Math.max(1, 90 - index);

function named(all, key, kind, whole) {
  return all.map((it, index) => ({
    label: it[key], value: it[key], type: "text", boost: boost(index),
    detail: [kind, it.kinds?.join(" or "), whole && `in ${share(it.records, whole)} of records`].filter(Boolean).join(", "),
  }));
}

/** The common values of an attribute or a property, asked for when they are first wanted. */
async function valuesOf(words, { attribute, event, property }) {
  const ofEvent = event === undefined ? [] : eventsOf(words.names, event);
  const name = event === undefined ? attribute : property;
  if (typeof name !== "string" || (event !== undefined && ofEvent.length === 0)) return [];
  const paths = event === undefined ? [at`/v1/names?attribute=${name}`] : ofEvent.slice(0, 5).map((it) => at`/v1/names?event=${it.event}&property=${name}`);
  const answers = await Promise.all(paths.map((path) => {
    const known = words.asked.get(path);
    if (known && performance.now() - known.at < FRESH_MS) return known.answer;
    const answer = ask(path).catch(() => ({ sampled: 0, values: [] }));
    words.asked.set(path, { at: performance.now(), answer });
    return answer;
  }));
  const counts = new Map();
  for (const { values } of answers) for (const { value, count } of values) counts.set(value, (counts.get(value) ?? 0) + count);
  const whole = answers.reduce((sum, it) => sum + it.sampled, 0);
  return [...counts].sort((a, b) => b[1] - a[1]).map(([value, count], index) => ({
    label: String(value), value, type: "constant", detail: `${typeof value === "string" ? "text" : typeof value}, ${share(count, whole)}`, boost: boost(index),
  }));
}

/** Operators that a kind of value is compared by: they come first. */
const FITTING = {
  text: ["eq", "neq", "in", "not_in", "contains", "starts_with", "ends_with", "matches"],
  number: ["eq", "gt", "gte", "lt", "lte", "between"],
  time: ["before", "after", "within_last", "within_next"],
  list: ["any_of", "all_of", "none_of", "contains"],
  boolean: ["eq", "neq"],
};

function kindsOf({ names }, { attribute, event, property }) {
  const all = event === undefined ? names.attributes : propertiesOf(names, event);
  return all.find((it) => (it.attribute ?? it.property) === (attribute ?? property))?.kinds ?? [];
}

function keysHere({ keys, shapes }, { objects }) {
  const [own, around] = [objects.at(-1), objects.at(-2)];
  const present = [...own.fields.keys()];
  // A whole definition is at the top only, and the other way round.
  const isDefinition = (shape) => shape.includes("rules");
  const isFilter = objects.some((it) => it.key === "where");
  const mayBe = (shape) => isDefinition(shape) === !around && (!isFilter || shape.every((key) => FILTER.includes(key)));
  const fitting = shapes.filter((shape) => mayBe(shape) && present.every((key) => shape.includes(key)));
  const wanted = new Set(fitting.flat().filter((key) => !present.includes(key)));
  return [...keys].filter(([key]) => wanted.has(key)).map(([label, { says }]) => ({ label, detail: says, type: "property", isKey: true }));
}

async function valuesHere(words, { objects, at: key, isList }) {
  const { keys, names, segments } = words;
  const of = subject(objects);
  const isFiltered = of.event !== undefined || objects.some((it) => it.key === "where");
  if (key === "event") return named(names.events, "event", "event", names.sampled);
  if (key === "attribute" && !isFiltered) return named(names.attributes, "attribute", "attribute", names.sampled);
  if (key === "attribute" || key === "property") return named(propertiesOf(names, of.event), "property", "property", eventsOf(names, of.event).reduce((sum, it) => sum + it.records, 0));
  if (key === "segment") return segments().filter(({ id }) => id !== objects[0].fields.get("id")).map(({ id, size }) => ({ label: id, value: id, type: "class", detail: `segment, ${plural(size, "user")}` }));
  if (key === "value") {
    const aggregate = objects.at(-1).fields.get("aggregate");
    const isNumber = aggregate !== undefined && !["first", "last"].includes(aggregate);
    return isNumber ? [] : valuesOf(words, of);
  }
  if (["window", "within", "held"].includes(key)) return DURATIONS.map((it) => ({ label: it, value: it, type: "constant", detail: "duration" }));
  if (isList) return [];
  const fitting = key === "op" ? kindsOf(words, of).flatMap((kind) => FITTING[kind] ?? []) : [];
  return [...(keys.get(key)?.values ?? [])].map((value) => ({
    label: String(value), value, type: "keyword", detail: key === "op" ? "operator" : undefined, boost: fitting.includes(value) ? 50 : 0,
  }));
}

/** What could stand where the cursor is. */
export async function completions(words, text, cursor) {
  if (text.length > READ) return null;
  const place = placeOf(text, cursor);
  if (place.objects.length === 0) return null;
  const { from, isOpen, at: key, isList } = place;
  await freshen(words);
  const options = key === null || key === undefined ? (isList ? [] : keysHere(words, place)) : await valuesHere(words, place);
  return { from, isOpen, options };
}
