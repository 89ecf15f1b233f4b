// The numbers of the models: they are loaded as scripts, unpacked, and summed over bins of updates.

const models = {}; // by name, as their scripts give them
const loading = {}; // promises of the models that were asked for

/** Called by the script of a model. */
function losschangeModel(name, model) {
  models[name] = model;
}

/** Load a model's script and unpack its numbers, once. */
function loadModel(name) {
  loading[name] ??= loadOnce(name);
  return loading[name];
}

async function loadOnce(name) {
  if (!MODELS[name]) throw new Error(`This page has no model called ${name}.`);
  await new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = MODELS[name];
    script.onload = done;
    script.onerror = () => failed(new Error(`${MODELS[name]} is missing beside this page.`));
    document.head.append(script);
  });
  const model = models[name];
  const numbers = await unpacked(model.values);
  const bins = model.last.length;
  const cells = model.cells.length;
  // running[estimator][cell * (bins + 1) + bin]: sum of the LCA of the bins before `bin`
  model.running = model.estimators.map((_, estimator) => {
    const sums = new Float64Array(cells * (bins + 1));
    for (let cell = 0; cell < cells; cell++) {
      const from = (estimator * cells + cell) * bins;
      const to = cell * (bins + 1);
      for (let bin = 0; bin < bins; bin++)
        sums[to + bin + 1] = sums[to + bin] + numbers[from + bin];
    }
    return sums;
  });
  model.values = null;
  model.places = new Map(model.cells.map((cell, place) => [cellKey(model, cell), place]));
  return model;
}

/** float32 numbers from base 64: deflated, the first bytes of all numbers, then the second ... */
async function unpacked(text) {
  const letters = atob(text);
  const deflated = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) deflated[i] = letters.charCodeAt(i);
  const stream = new Blob([deflated]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const count = bytes.length / 4;
  const ordered = new Uint8Array(bytes.length);
  for (let byte = 0; byte < 4; byte++) {
    for (let i = 0; i < count; i++) ordered[4 * i + byte] = bytes[byte * count + i];
  }
  return new Float32Array(ordered.buffer);
}

/** Name of a cell that is the same in every model: "3.key" or, of a head, "3.key.0". */
function cellKey(model, [layer, component, head]) {
  return `${layer}.${model.components[component]}${head < 0 ? "" : `.${head}`}`;
}

/** The bins that hold the updates from:to, and the updates that these bins begin and end with. */
function binsOf(model, from, to) {
  let low = model.last.findIndex((last) => last >= from);
  if (low < 0) low = model.last.length - 1;
  let high = low;
  while (high + 1 < model.first.length && model.first[high + 1] <= to) high++;
  return { low, high, from: model.first[low], to: model.last[high] };
}

/** Sum of the LCA of some cells over the bins low:high (both included). */
function sumOf(side, cells, low, high) {
  const running = side.model.running[side.estimator];
  const bins = side.model.last.length + 1;
  let sum = 0;
  for (const cell of cells) sum += running[cell * bins + high + 1] - running[cell * bins + low];
  return sum;
}

/** Measured change of the loss over the bins low:high; null where it was not measured. */
function changeOf(side, low, high) {
  const changes = side.model.estimators[side.estimator].change.slice(low, high + 1);
  return changes.includes(null) ? null : changes.reduce((sum, value) => sum + value, 0);
}

/** Number of records in the bins low:high. */
function recordsOf(side, low, high) {
  const records = side.model.estimators[side.estimator].records.slice(low, high + 1);
  return records.reduce((sum, value) => sum + value, 0);
}

/**
 * What sums of single updates are multiplied by where only some updates were recorded. Records of
 * intervals cover all updates, so theirs are not scaled.
 */
function scaleOf(side, low, high) {
  if (side.model.estimators[side.estimator].intervals) return 1;
  const records = recordsOf(side, low, high);
  return records ? (side.model.last[high] - side.model.first[low] + 1) / records : 1;
}

/**
 * The curve of some cells over the bins of a range: the sum since its first update or, for
 * kind "update", the mean per update. Bins without a record have no point.
 */
function curveOf(side, cells, kind) {
  const { model, low, high } = side;
  const records = model.estimators[side.estimator].records;
  const intervals = model.estimators[side.estimator].intervals;
  const scale = scaleOf(side, low, high);
  const curve = { x: [], y: [] };
  if (kind === "sum") {
    curve.x.push(model.first[low] - 1);
    curve.y.push(0);
  }
  // The first interval may begin before the range: where the record before it ends.
  let previous = low - 1;
  while (previous >= 0 && !records[previous]) previous--;
  let before = previous < 0 ? model.first[0] - 1 : model.last[previous];
  for (let bin = low; bin <= high; bin++) {
    if (!records[bin]) continue;
    const updates = intervals ? model.last[bin] - before : records[bin];
    before = model.last[bin];
    curve.x.push(before);
    curve.y.push(
      kind === "sum"
        ? scale * sumOf(side, cells, low, bin)
        : sumOf(side, cells, bin, bin) / updates,
    );
  }
  return curve;
}

/** The curve of the measured loss, like that of cells. */
function measuredCurve(side) {
  const { model, low, high } = side;
  const curve = { x: [model.first[low] - 1], y: [0] };
  for (let bin = low; bin <= high; bin++) {
    if (!model.estimators[side.estimator].records[bin]) continue;
    curve.x.push(model.last[bin]);
    curve.y.push(changeOf(side, low, bin));
  }
  return curve;
}

/** One curve less another, at the updates of the first that both reach; straight between points. */
function curveDifference(one, other) {
  const curve = { x: [], y: [] };
  let next = 0;
  one.x.forEach((x, place) => {
    while (next < other.x.length && other.x[next] < x) next++;
    if (next === other.x.length || (next === 0 && other.x[0] > x)) return;
    let value = other.y[next];
    if (other.x[next] > x) {
      const share = (x - other.x[next - 1]) / (other.x[next] - other.x[next - 1]);
      value = other.y[next - 1] + share * (other.y[next] - other.y[next - 1]);
    }
    curve.x.push(x);
    curve.y.push(one.y[place] - value);
  });
  return curve;
}
