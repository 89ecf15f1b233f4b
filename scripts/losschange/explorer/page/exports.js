// PNG and CSV of the panels.

/** The rows of a panel's CSV file, with the numbers that the panel shows. */
function csvRows(kind) {
  const sides = shownSides();
  if (kind === "curves") {
    const rows = [["curve", "update", "nats"]];
    for (const curve of curvesOf(sides))
      curve.x.forEach((x, place) => rows.push([curve.name, x, curve.y[place]]));
    return rows;
  }
  const about = sides.map((side) => [side.from, side.to]);
  const rows = [
    ["shown", "first_update", "last_update", "layer", "label", "component", "head", "sum_lca_nats"],
  ];
  tablesOf(kind, sides).forEach((table, place) => {
    for (const [name, value] of table.sums) {
      const [layer, component, head] = name.split(".");
      rows.push([
        table.title,
        ...about[place],
        layer,
        table.model.layers[layer],
        component,
        head ?? "all chosen",
        value,
      ]);
    }
  });
  return rows;
}

/** CSV of some rows; text with commas or quotes stands in quotes. */
function csvText(rows) {
  const written = (value) =>
    /[",\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value);
  return rows.map((row) => row.map(written).join(",")).join("\n") + "\n";
}

/** Save the CSV of a panel. */
function saveCsv(kind) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csvText(csvRows(kind))], { type: "text/csv" }));
  link.download = `losschange-${kind}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/** Save a panel as it is drawn, twice as fine; of two heat maps, both. */
async function savePng(kind) {
  const ids = kind === "curves" ? ["curves"] : [`${kind}-a`, `${kind}-b`];
  for (const id of ids) {
    const panel = document.getElementById(id);
    if (panel.hidden) continue;
    const { width, height } = panel.getBoundingClientRect();
    await Plotly.downloadImage(panel, {
      format: "png",
      scale: 2,
      width,
      height,
      filename: `losschange-${id}`,
    });
  }
}
