// The controls: they change the selection, and every change is drawn and kept in the address.

const by = (id) => document.getElementById(id);
// Longest run of all models loaded so far: the end of the sliders.
const lastUpdate = () => Math.max(...Object.values(models).map((model) => model.last.at(-1)));

/** Change parts of the selection and draw them. Resolves when all panels are drawn. */
async function change(parts) {
  Object.assign(state, parts);
  await show();
}

/** Draw the selection: load what it needs, then controls, sums and panels. */
async function show() {
  try {
    await Promise.all(
      [state.a, ...(state.mode === "one" ? [] : [state.b])].map((side) => loadModel(side.model)),
    );
    const sides = shownSides();
    state.headsOf ??= firstLayerWithHeads(sides[0].model);
    fillControls(sides);
    drawNumbers(sides);
    await Promise.all([drawMaps("map", sides), drawMaps("heads", sides), drawCurves(sides)]);
    connectMaps();
    by("link").href = `#${writtenSelection()}`;
    history.replaceState(null, "", `#${writtenSelection()}`);
    by("message").hidden = true;
  } catch (error) {
    by("message").textContent = error.message;
    by("message").hidden = false;
    throw error;
  }
}

function firstLayerWithHeads(model) {
  const cell = model.cells.find(([, , head]) => head >= 0);
  return cell ? cell[0] : 0;
}

/** Put the selection into the controls. */
function fillControls(sides) {
  by("b-choices").hidden = state.mode === "one";
  by("mode").value = state.mode;
  for (const side of sides) {
    const known = side.model.estimators;
    const wanted = state[side.name];
    options(`${side.name}-model`, Object.keys(MODELS), wanted.model);
    options(`${side.name}-rule`, [...new Set(known.map((one) => one.rule))], wanted.rule);
    const texts = known.filter((one) => one.rule === wanted.rule).map((one) => one.text);
    options(`${side.name}-text`, texts, wanted.text);
    const facts = Object.entries(side.model.facts).map(
      ([name, value]) => `${name.replace("_", " ")} ${value}`,
    );
    by(`${side.name}-about`).textContent = `${known[side.estimator].about}. ${facts.join(", ")}.`;
  }
  const end = lastUpdate();
  for (const [name, value] of [
    ["from", state.from ?? 1],
    ["to", Math.min(state.to ?? end, end)],
  ]) {
    for (const id of [name, `${name}-slider`]) {
      by(id).max = end;
      by(id).value = value;
    }
  }
  const models = sides.map((side) => side.model);
  const layers = models.reduce((one, other) =>
    other.layers.length > one.layers.length ? other : one,
  ).layers;
  boxes(
    "layers",
    layers.map((label, layer) => [layer, label]),
  );
  const used = (model) =>
    model.components.filter((_, place) => model.cells.some(([, component]) => component === place));
  boxes(
    "components",
    [...new Set(models.flatMap(used))].map((name) => [name, name]),
  );
  const heads = [...new Set(models.flatMap((model) => model.cells.map(([, , head]) => head)))].sort(
    (x, y) => x - y,
  );
  boxes(
    "heads",
    heads.map((head) => (head < 0 ? ["none", "not split"] : [String(head), String(head)])),
  );
  const split = new Set(
    models.flatMap((model) =>
      model.cells.filter(([, , head]) => head >= 0).map(([layer]) => layer),
    ),
  );
  options(
    "heads-of",
    [...split].sort((x, y) => x - y),
    state.headsOf,
    (layer) => layers[layer],
  );
  by("curves-of").value = state.curves;
  by("colours").value = state.colours;
}

/** Fill a list of options and choose one; a list that is right already stays. */
function options(id, values, chosen, title = String) {
  const list = by(id);
  const same =
    list.options.length === values.length &&
    values.every((value, place) => list.options[place].value === String(value));
  if (!same) list.replaceChildren(...values.map((value) => new Option(title(value), value)));
  list.value = String(chosen);
}

/** Boxes to tick, of layers, components or heads. */
function boxes(name, entries) {
  const place = by(name);
  const values = entries.map(([value]) => value);
  const ticked = (value) => !state[name] || state[name].has(value);
  const count = values.filter(ticked).length;
  const title = `${name[0].toUpperCase()}${name.slice(1)}: ${count === values.length ? "all" : `${count} of ${values.length}`}`;
  if (place.dataset.values !== values.join()) {
    place.dataset.values = values.join();
    const summary = document.createElement("summary");
    place.replaceChildren(
      summary,
      ...[
        ["all", null],
        ["none", []],
      ].map(([word, chosen]) => {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = word;
        button.onclick = () => change({ [name]: chosen && new Set(chosen) });
        return button;
      }),
      document.createElement("br"),
      ...entries.map(([value, text]) => {
        const label = document.createElement("label");
        const box = document.createElement("input");
        box.type = "checkbox";
        box.dataset.value = value;
        box.onchange = () => tick(name, values, value, box.checked);
        label.append(box, ` ${text}`);
        return label;
      }),
    );
  }
  place.firstChild.textContent = title;
  place.querySelectorAll("input").forEach((box, number) => {
    box.checked = ticked(values[number]);
  });
}

/** Take a layer, component or head into the selection, or out of it. */
function tick(name, values, value, isIn) {
  const chosen = new Set(
    values.filter((one) => (one === value ? isIn : !state[name] || state[name].has(one))),
  );
  return change({ [name]: chosen.size === values.length ? null : chosen });
}

/** A click on a cell: its curve comes or goes, and the heads of its layer are shown. */
function clickCell(name) {
  const cells = state.cells.includes(name)
    ? state.cells.filter((one) => one !== name)
    : [...state.cells, name];
  const layer = Number(name.split(".")[0]);
  const split = models[state.a.model].cells.some(([of, , head]) => of === layer && head >= 0);
  return change({ cells, headsOf: split ? layer : state.headsOf });
}

/** Let heat maps be clicked on and be moved in by arrows; once for each. */
function connectMaps() {
  for (const id of Object.keys(shown)) {
    const panel = by(id);
    if (panel.dataset.connected) continue;
    panel.dataset.connected = "yes";
    panel.on("plotly_click", ({ points: [point] }) => {
      const table = shown[id];
      if (point.z !== null)
        clickCell(table.name(table.rows.indexOf(point.y), table.columns.indexOf(point.x)));
    });
    panel.addEventListener("keydown", (event) => moveIn(id, event));
    for (const name of ["focus", "blur"])
      panel.addEventListener(name, () => Plotly.relayout(panel, { shapes: marksOf(id) }));
  }
}

/** Arrows move in a heat map and tell the cell's value; Enter and the space bar click. */
function moveIn(id, event) {
  const table = shown[id];
  const moves = { ArrowUp: [1, 0], ArrowDown: [-1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  const inside = (place, length) => Math.max(0, Math.min(length - 1, place));
  const [row, column] = [
    inside(cursor[id][0], table.rows.length),
    inside(cursor[id][1], table.columns.length),
  ];
  if (moves[event.key]) {
    cursor[id] = [
      inside(row + moves[event.key][0], table.rows.length),
      inside(column + moves[event.key][1], table.columns.length),
    ];
    const name = table.name(...cursor[id]);
    const value = table.sums.get(name);
    by("spoken").textContent =
      `${readableCell(table.model, name)}: ${value === undefined ? "no such cell" : `${nats(value)} nats`}`;
    Plotly.relayout(id, { shapes: marksOf(id) });
  } else if (
    (event.key === "Enter" || event.key === " ") &&
    table.sums.has(table.name(row, column))
  ) {
    clickCell(table.name(row, column));
  } else {
    return;
  }
  event.preventDefault();
}

/** Connect the controls, take the selection from the address, and draw it. */
function start() {
  for (const name of ["a", "b"]) {
    by(`${name}-model`).onchange = (event) =>
      change({ [name]: { ...state[name], model: event.target.value } });
    by(`${name}-rule`).onchange = (event) =>
      change({ [name]: { ...state[name], rule: event.target.value } });
    by(`${name}-text`).onchange = (event) =>
      change({ [name]: { ...state[name], text: event.target.value } });
  }
  by("mode").onchange = (event) => change({ mode: event.target.value });
  for (const name of ["from", "to"]) {
    for (const id of [name, `${name}-slider`]) {
      by(id).onchange = (event) => {
        const update = Math.max(
          1,
          Math.min(lastUpdate(), Math.round(Number(event.target.value)) || 1),
        );
        if (name === "from") change({ from: update, to: state.to && Math.max(update, state.to) });
        else change({ to: update, from: state.from && Math.min(update, state.from) });
      };
    }
  }
  by("all-updates").onclick = () => change({ from: null, to: null });
  by("heads-of").onchange = (event) => change({ headsOf: Number(event.target.value) });
  by("curves-of").onchange = (event) => change({ curves: event.target.value });
  by("colours").onchange = (event) => change({ colours: event.target.value });
  by("no-cells").onclick = () => change({ cells: [] });
  by("reset").onclick = () =>
    change({ from: null, to: null, layers: null, components: null, heads: null, cells: [] });
  by("choices").onsubmit = (event) => event.preventDefault();
  for (const button of document.querySelectorAll("[data-csv]"))
    button.onclick = () => saveCsv(button.dataset.csv);
  for (const button of document.querySelectorAll("[data-png]"))
    button.onclick = () => savePng(button.dataset.png);
  const fromAddress = () => {
    readSelection(location.hash);
    return show();
  };
  window.addEventListener("hashchange", fromAddress);
  window.addEventListener("resize", show);
  window.explorer = { state, change, sums: () => shownSides().map(sumsOf), ready: fromAddress() };
}

// A model's numbers are loaded while the browser still reads Plotly.
readSelection(location.hash);
loadModel(state.a.model).catch(() => {});
document.addEventListener("DOMContentLoaded", start);
