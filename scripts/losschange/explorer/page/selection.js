// What is selected, how the address keeps it, and which cells of a model it means.

const state = {
  a: { model: Object.keys(MODELS)[0], rule: null, text: null },
  b: { model: null, rule: null, text: null },
  mode: "one", // or "side" or "difference"
  from: null, // updates; null: the first and the last
  to: null,
  layers: null, // numbers, names, and heads as text ("none", "0" ...); null: all
  components: null,
  heads: null,
  cells: [], // names of the cells whose curves are drawn
  headsOf: null, // layer whose heads are drawn
  curves: "sum",
  colours: "most",
};

/** The address' part after #, from which `readSelection` gets the same selection. */
function writtenSelection() {
  const parts = new URLSearchParams();
  const sides = state.mode === "one" ? ["a"] : ["a", "b"];
  for (const name of sides) {
    const side = state[name];
    parts.set(name, [side.model, side.rule, side.text].join(":"));
  }
  if (state.mode !== "one") parts.set("mode", state.mode);
  for (const name of ["from", "to", "headsOf"]) {
    if (state[name] !== null) parts.set(name, state[name]);
  }
  for (const name of ["layers", "components", "heads"]) {
    if (state[name]) parts.set(name, [...state[name]].join(","));
  }
  if (state.cells.length) parts.set("cells", state.cells.join(","));
  if (state.curves !== "sum") parts.set("curves", state.curves);
  if (state.colours !== "most") parts.set("colours", state.colours);
  return parts.toString();
}

/** Take over the selection that an address keeps; what it does not name is as in a new page. */
function readSelection(address) {
  const parts = new URLSearchParams(address.replace(/^#/, ""));
  const names = Object.keys(MODELS);
  for (const name of ["a", "b"]) {
    const [model, rule, text] = (parts.get(name) || "").split(":");
    const usual = name === "a" ? names[0] : names[Math.min(1, names.length - 1)];
    state[name] = { model: MODELS[model] ? model : usual, rule: rule || null, text: text || null };
  }
  const mode = parts.get("mode");
  state.mode = ["side", "difference"].includes(mode) ? mode : "one";
  for (const name of ["from", "to", "headsOf"]) {
    state[name] = /^\d+$/.test(parts.get(name) || "") ? Number(parts.get(name)) : null;
  }
  for (const name of ["layers", "components", "heads"]) {
    const listed = (parts.get(name) || "").split(",").filter((one) => one !== "");
    state[name] = parts.has(name) ? new Set(name === "layers" ? listed.map(Number) : listed) : null;
  }
  state.cells = (parts.get("cells") || "").split(",").filter((one) => one !== "");
  state.curves = parts.get("curves") === "update" ? "update" : "sum";
  state.colours = parts.get("colours") === "all" ? "all" : "most";
}

/** Choose an estimator that the model has: that of the rule and text wanted, or the nearest. */
function settleEstimator(side) {
  const known = models[side.model].estimators;
  const found =
    known.find((one) => one.rule === side.rule && one.text === side.text) ||
    known.find((one) => one.rule === side.rule) ||
    known[0];
  side.rule = found.rule;
  side.text = found.text;
  return known.indexOf(found);
}

/** Model, estimator and bins of side "a" or "b". */
function sideOf(name) {
  const model = models[state[name].model];
  const estimator = settleEstimator(state[name]);
  const range = binsOf(model, state.from ?? 1, state.to ?? Infinity);
  const title = `${state[name].model}, ${model.estimators[estimator].name}`;
  return { name, title, model, estimator, ...range };
}

/** The sides that are shown: A, or A and B. */
function shownSides() {
  return state.mode === "one" ? [sideOf("a")] : [sideOf("a"), sideOf("b")];
}

/** Places of the cells that are chosen by layer, component and head. */
function chosenCells(model) {
  const chosen = [];
  model.cells.forEach(([layer, component, head], place) => {
    if (state.layers && !state.layers.has(layer)) return;
    if (state.components && !state.components.has(model.components[component])) return;
    if (state.heads && !state.heads.has(head < 0 ? "none" : String(head))) return;
    chosen.push(place);
  });
  return chosen;
}

/** Places of the cells that a name means: one head's, or all heads' chosen of a component. */
function cellsNamed(model, name) {
  if (name.split(".").length > 2) return model.places.has(name) ? [model.places.get(name)] : [];
  return chosenCells(model).filter((place) => {
    const [layer, component] = model.cells[place];
    return name === `${layer}.${model.components[component]}`;
  });
}

/** "dec.3 key, head 0" from "3.key.0". */
function readableCell(model, name) {
  const [layer, component, head] = name.split(".");
  const label = model.layers[layer] ?? `layer ${layer}`;
  return `${label} ${component}${head === undefined ? "" : `, head ${head}`}`;
}
