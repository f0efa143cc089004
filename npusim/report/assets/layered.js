"use strict";
/* A drawing of a graph in rows, from top to bottom: who makes a value stands above who reads it. Edges go from a lower
   number to a higher one. What is read far below leads down a lane of its own, one for all its readers. */
npusim.layered = (count, edges, size) => {
  const reads = Array.from({ length: count }, () => []), readBy = Array.from({ length: count }, () => []);
  for (const [from, to] of edges) { reads[to].push(from); readBy[from].push(to); }

  /* Rows: each op below all that it reads; what reads nothing, just above its first reader. */
  const row = new Int32Array(count);
  for (let op = 0; op < count; op++) for (const from of reads[op]) row[op] = Math.max(row[op], row[from] + 1);
  for (let op = 0; op < count; op++)
    if (!reads[op].length && readBy[op].length) row[op] = Math.min(...readBy[op].map((to) => row[to])) - 1;

  /* Places: ops, and a place in every row that a lane goes through. `above` are those that lead to a place. */
  const places = Array.from(row, (y, op) => ({ op, y, above: [], below: [], width: size.width + size.gap }));
  const lanes = readBy.map((readers, op) => {
    const lane = [places[op]], last = Math.max(row[op], ...readers.map((to) => row[to]));
    for (let y = row[op] + 1; y < last; y++) lane.push({ op: -1, y, above: [], below: [], width: size.lane });
    return lane;
  });
  const join = (from, to) => { from.below.push(to); to.above.push(from); };
  lanes.forEach((lane, op) => {
    for (let i = 1; i < lane.length; i++) join(lane[i - 1], lane[i]);
    for (const to of readBy[op]) join(lane[row[to] - row[op] - 1], places[to]);
  });
  const rows = [];
  for (const place of [...places, ...lanes.flatMap((lane) => lane.slice(1))]) (rows[place.y] ??= []).push(place);

  /* The order in a row is that of what is above and below it; then each place goes as near to those as its row lets it. */
  const number = (all) => all.forEach((place, i) => (place.at = i));
  const mean = (linked, of) => linked.reduce((sum, each) => sum + each[of], 0) / linked.length;
  const sweep = (side) => (all) => {
    for (const place of all) place.wanted = place[side].length ? mean(place[side], "at") : place.at;
    all.sort((a, b) => a.wanted - b.wanted || a.at - b.at);
    number(all);
  };
  const spread = (side) => (all) => {
    let left = 0;
    const offset = all.map(({ width }) => { left += width; return left - width / 2; });
    const wanted = all.map((place, i) => (place[side].length ? mean(place[side], "x") : place.x) - offset[i]);
    const high = [...wanted], low = [...wanted];
    for (let i = 1; i < all.length; i++) high[i] = Math.max(high[i], high[i - 1]);
    for (let i = all.length - 2; i >= 0; i--) low[i] = Math.min(low[i], low[i + 1]);
    all.forEach((place, i) => (place.x = (high[i] + low[i]) / 2 + offset[i]));
  };
  rows.forEach(number);
  for (let round = 0; round < 4; round++) { rows.forEach(sweep("above")); [...rows].reverse().forEach(sweep("below")); }
  for (const place of rows.flat()) place.x = 0;
  for (let round = 0; round < 4; round++) { rows.forEach(spread("above")); [...rows].reverse().forEach(spread("below")); }
  rows.forEach(spread("above"));

  const x = places.map((place) => place.x), y = Array.from(row, (each) => each * size.row);
  const paths = edges.map(([from, to]) => [
    ...lanes[from].slice(0, Math.max(row[to] - row[from], 1)), places[to]].map((place) => [place.x, place.y * size.row]));
  const left = x.reduce((a, b) => Math.min(a, b), Infinity) - size.width / 2;
  const right = x.reduce((a, b) => Math.max(a, b), -Infinity) + size.width / 2;
  return { x, y, paths, reads, readBy, left, right, bottom: (rows.length - 1) * size.row };
};
