// The panels: tables of sums, drawn by Plotly as heat maps and curves.

// Blue to white to vermilion of Okabe and Ito's palette, which colour-blind readers tell apart.
const COLOURS = [
  [0, "#00588c"],
  [0.25, "#6aaed6"],
  [0.5, "#f7f7f7"],
  [0.75, "#f0a060"],
  [1, "#b34d00"],
];
const LINES = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"];
const MISSING = "#d9d9d9";
const SETTINGS = { displayModeBar: false };
const cursor = { "map-a": [0, 0], "map-b": [0, 0], "heads-a": [0, 0], "heads-b": [0, 0] };
const shown = {}; // the table behind each heat map, by the panel's id

const drawn = {}; // what each panel shows, to draw only what changes

/** Draw a panel, unless it shows this already in the width that it has. */
async function draw(id, traces, layout) {
  const width = document.getElementById(id).clientWidth;
  const wanted = JSON.stringify([traces, layout, width]);
  if (drawn[id] === wanted) return;
  drawn[id] = wanted;
  await Plotly.react(id, traces, { ...layout, width }, SETTINGS);
}

/** A number of nats with four significant digits. */
function nats(value) {
  if (value === null || Number.isNaN(value)) return "not measured";
  return Math.abs(value) < 1e-12 ? "0" : value.toPrecision(4).replace("-", "−");
}

/** ΣLCA per layer and component of a side: rows of layers, columns of components. */
function mapTable(side) {
  const sums = new Map();
  const scale = scaleOf(side, side.low, side.high);
  for (const place of chosenCells(side.model)) {
    const [layer, component] = side.model.cells[place];
    const name = `${layer}.${side.model.components[component]}`;
    sums.set(name, (sums.get(name) || 0) + scale * sumOf(side, [place], side.low, side.high));
  }
  return sums;
}

/** ΣLCA per component and head of a layer. */
function headTable(side, layer) {
  const sums = new Map();
  const scale = scaleOf(side, side.low, side.high);
  side.model.cells.forEach(([of, component, head], place) => {
    if (of !== layer || head < 0) return;
    const name = side.model.components[component];
    if (state.components && !state.components.has(name)) return;
    if (state.heads && !state.heads.has(String(head))) return;
    sums.set(`${layer}.${name}.${head}`, scale * sumOf(side, [place], side.low, side.high));
  });
  return sums;
}

/** Values of A less those of B, of the cells that both have. */
function tableDifference(one, other) {
  return new Map(
    [...one]
      .filter(([name]) => other.has(name))
      .map(([name, value]) => [name, value - other.get(name)]),
  );
}

/** The tables of a kind to draw: [{ id, title, sums, model }]. */
function tablesOf(kind, sides) {
  const table = kind === "map" ? mapTable : (side) => headTable(side, state.headsOf);
  const tables = sides.map((side) => ({
    id: `${kind}-${side.name}`,
    title: side.title,
    model: side.model,
    sums: table(side),
  }));
  if (state.mode !== "difference") return tables;
  const [one, other] = tables;
  return [
    { ...one, title: `${one.title} − ${other.title}`, sums: tableDifference(one.sums, other.sums) },
  ];
}

/** Rows and columns of a table, named as the axes name them. */
function axesOf(kind, table, components) {
  const names = [...table.sums.keys()].map((name) => name.split("."));
  const used = new Set(names.map(([, component]) => component));
  const across = components.filter((component) => used.has(component));
  if (kind === "map") {
    const layers = [...new Set(names.map(([layer]) => Number(layer)))].sort((x, y) => x - y);
    return {
      rows: layers.map((layer) => table.model.layers[layer]),
      columns: across,
      name: (row, column) => `${layers[row]}.${across[column]}`,
    };
  }
  const heads = [...new Set(names.map(([, , head]) => Number(head)))].sort((x, y) => x - y);
  const downwards = across.toReversed(); // Plotly draws the first row at the bottom
  return {
    rows: downwards,
    columns: heads.map((head) => `head ${head}`),
    name: (row, column) => `${state.headsOf}.${downwards[row]}.${heads[column]}`,
  };
}

/** Largest value that the colours tell apart, of all tables together. */
function colourLimit(tables) {
  const sizes = tables
    .flatMap((table) => [...table.sums.values()].map(Math.abs))
    .sort((x, y) => x - y);
  const place = state.colours === "all" ? sizes.length - 1 : Math.ceil(0.95 * sizes.length) - 1;
  return sizes[Math.max(0, place)] || 1e-12;
}

/** Draw the heat maps of a kind, "map" or "heads". */
function drawMaps(kind, sides) {
  const tables = tablesOf(kind, sides);
  const components = [...new Set(sides.flatMap((side) => side.model.components))];
  const limit = colourLimit(tables);
  for (const letter of ["a", "b"])
    document.getElementById(`${kind}-${letter}`).hidden = !tables.some(
      (table) => table.id === `${kind}-${letter}`,
    );
  return Promise.all(
    tables.map((table) => {
      const axes = axesOf(kind, table, components);
      shown[table.id] = { ...table, ...axes };
      return drawMap(document.getElementById(table.id), shown[table.id], limit);
    }),
  );
}

/** Draw one heat map. */
function drawMap(panel, table, limit) {
  const z = table.rows.map((_, row) =>
    table.columns.map((_, column) => table.sums.get(table.name(row, column)) ?? null),
  );
  const told = z.map((values, row) =>
    values.map((value, column) => {
      if (value === null) return "";
      return `${readableCell(table.model, table.name(row, column))}<br>ΣLCA ${nats(value)} nats`;
    }),
  );
  const trace = {
    type: "heatmap",
    x: table.columns,
    y: table.rows,
    z,
    text: told,
    hoverinfo: "text",
    hoverongaps: false,
    zmin: -limit,
    zmax: limit,
    colorscale: COLOURS,
    xgap: 1,
    ygap: 1,
    colorbar: { title: { text: "ΣLCA, nats", side: "right" }, thickness: 12, tickformat: ".2~g" },
  };
  const empty = table.rows.length ? "" : "<br>no cells of this kind are chosen";
  panel.setAttribute("aria-label", `${table.title}: heat map, arrows move, Enter clicks`);
  return draw(panel.id, [trace], {
    title: { text: table.title + empty, font: { size: 13 } },
    margin: { l: 85, r: 10, t: 34, b: 70 },
    plot_bgcolor: MISSING,
    font: { size: 12 },
    xaxis: { type: "category", fixedrange: true, tickangle: "auto", showgrid: false },
    yaxis: { type: "category", fixedrange: true, showgrid: false },
    shapes: marksOf(panel.id),
  });
}

/** Frames around the cells whose curves are drawn, and around the cell that the arrows are at. */
function marksOf(id) {
  const table = shown[id];
  const frame = (row, column, look) => ({
    type: "rect",
    x0: column - 0.47,
    x1: column + 0.47,
    y0: row - 0.45,
    y1: row + 0.45,
    line: look,
  });
  const marks = [];
  table.rows.forEach((_, row) =>
    table.columns.forEach((_, column) => {
      if (state.cells.includes(table.name(row, column)))
        marks.push(frame(row, column, { color: "#000", width: 2 }));
    }),
  );
  if (document.activeElement && document.activeElement.id === id) {
    marks.push(frame(...cursor[id], { color: "#000", width: 2, dash: "dot" }));
  }
  return marks;
}

/** Curves to draw: those of the cells clicked on or, without any, of all cells and the loss. */
function curvesOf(sides) {
  const asked = state.cells.map((name) => ({
    name: readableCell(sides[0].model, name),
    cells: (model) => cellsNamed(model, name),
  }));
  const all = { name: "all cells chosen", cells: chosenCells };
  const curves = (asked.length ? asked : [all]).map(({ name, cells }) => ({
    name,
    sides: sides.map((side) => curveOf(side, cells(side.model), state.curves)),
  }));
  if (!asked.length && state.curves === "sum") {
    curves.push({ name: "measured loss", measured: true, sides: sides.map(measuredCurve) });
  }
  if (state.mode !== "difference") {
    return curves.flatMap((curve, number) =>
      sides.map((side, place) => ({
        ...curve.sides[place],
        number,
        place,
        measured: curve.measured,
        name: sides.length > 1 ? `${curve.name} (${side.name.toUpperCase()})` : curve.name,
      })),
    );
  }
  return curves.map((curve, number) => ({
    ...curveDifference(...curve.sides),
    number,
    place: 0,
    measured: curve.measured,
    name: `${curve.name} (A − B)`,
  }));
}

/** Draw the curves. */
function drawCurves(sides) {
  const traces = curvesOf(sides).map((curve) => ({
    type: "scatter",
    mode: curve.x.length > 60 ? "lines" : "lines+markers",
    x: curve.x,
    y: curve.y,
    name: curve.name,
    marker: { symbol: curve.number % 8, size: 5 },
    connectgaps: false,
    line: {
      color: curve.measured ? "#777" : LINES[curve.number % LINES.length],
      dash: curve.place ? "dash" : curve.measured ? "dot" : "solid",
      width: 2,
    },
    hovertemplate: "update %{x}: %{y:.4g} nats<extra>%{fullData.name}</extra>",
  }));
  const what =
    state.curves === "sum" ? "ΣLCA since the first update chosen, nats" : "LCA per update, nats";
  return draw("curves", traces, {
    margin: { l: 65, r: 10, t: 10, b: 45 },
    font: { size: 12 },
    showlegend: true,
    legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
    xaxis: { title: { text: "update" } },
    yaxis: { title: { text: what }, tickformat: ".3~g" },
  });
}

/** What the selection sums to, against the measured loss. */
function sumsOf(side) {
  const { model, low, high } = side;
  const cells = chosenCells(model);
  const scale = scaleOf(side, low, high);
  const selection = sumOf(side, cells, low, high) * scale;
  const all = sumOf(side, model.cells.keys(), low, high) * scale;
  const change = changeOf(side, low, high);
  return {
    updates: `${side.from} to ${side.to}`,
    records: recordsOf(side, low, high),
    cells: cells.length,
    parameters: cells.reduce((sum, place) => sum + model.parameters[place], 0),
    selection,
    all,
    change,
    scale,
    share: selection / all,
    ratio: change ? all / change : null,
    selectionRatio: change ? selection / change : null,
  };
}

/** Fill the table of sums, and the notes below it. */
function drawNumbers(sides) {
  const sums = sides.map(sumsOf);
  const difference = (name) =>
    sums.length > 1 && sums.every((one) => one[name] !== null)
      ? sums[0][name] - sums[1][name]
      : null;
  const count = (value) => value.toLocaleString("en");
  const percent = (value) =>
    value === null ? "not measured" : `${(100 * value).toFixed(2)} %`.replace("-", "−");
  const rows = [
    ["updates, in whole bins", "updates", String],
    ["records", "records", count],
    ["cells chosen", "cells", count],
    ["their parameters", "parameters", count],
    ["ΣLCA of the cells chosen, nats", "selection", nats],
    ["ΣLCA of all cells, nats", "all", nats],
    ["measured change of the loss, nats", "change", nats],
    ["cells chosen, of all cells", "share", percent],
    ["cells chosen, of the measured change", "selectionRatio", percent],
    ["all cells, of the measured change", "ratio", percent],
  ];
  const table = document.getElementById("numbers");
  table.replaceChildren(
    rowOf("th", [
      "",
      ...sides.map((side) => `${side.name.toUpperCase()}: ${side.title}`),
      ...(sides.length > 1 ? ["A − B"] : []),
    ]),
  );
  for (const [title, name, written] of rows) {
    const values = sums.map((one) => written(one[name]));
    if (sums.length > 1)
      values.push(["selection", "all", "change"].includes(name) ? nats(difference(name)) : "");
    const row = rowOf("td", [title, ...values]);
    row.dataset.row = name;
    row.dataset.values = JSON.stringify(sums.map((one) => one[name]));
    table.append(row);
  }
  document.getElementById("notes").textContent = sides
    .map((side, place) => noteOf(side, sums[place]))
    .join(" ");
}

/** What a reader must know to compare the sum with the loss. */
function noteOf(side, sums) {
  const { reference, intervals } = side.model.estimators[side.estimator];
  const loss = {
    training: "training",
    validation: "validation",
    training_probe: "training text's probe",
    validation_probe: "validation text's probe",
  };
  const against = reference
    ? `${side.name.toUpperCase()}: the change is that of the loss of the ${loss[reference] ?? reference.replace("_probe", "'s probe")}${intervals ? ", over exactly the records' intervals" : ", straight between measurements"}.`
    : `${side.name.toUpperCase()}: no loss was measured.`;
  const sampled =
    sums.scale === 1
      ? ""
      : ` Sums are of ${sums.records} recorded updates, times ${sums.scale.toPrecision(4)} for all updates.`;
  return against + sampled;
}

/** A row of a table; its first cell is the row's title. */
function rowOf(kind, texts) {
  const row = document.createElement("tr");
  texts.forEach((text, place) => {
    const cell = document.createElement(place ? kind : "th");
    cell.textContent = text;
    row.append(cell);
  });
  return row;
}
