/** Where each tile goes. Pure arithmetic: the canvas, the pointer and the keyboard share it. */

export interface Group {
  name: string;
  /** Places of the GPUs, in the order in which they are shown. */
  places: readonly number[];
}

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface PlacedGroup extends Box {
  name: string;
  /** Its first tile's number in Layout.places. */
  first: number;
  count: number;
  columns: number;
}

export interface Layout {
  width: number;
  height: number;
  /** Length of a tile's side. */
  tile: number;
  groups: readonly PlacedGroup[];
  /** The GPU of each tile. */
  places: readonly number[];
}

export const titleHeight = 20;
const tileGap = 4;
const groupGap = 22;
const rowGap = 14;
/** A group is at least so wide that its name can be read. */
const leastGroup = 92;
/** Tiles are between these: smaller ones cannot be hit, larger ones tell no more. */
const least = 14;
const most = 84;

/**
 * Lays groups out in rows: as few in a row, and so with tiles as large, as the height
 * allows. Rows fill the width, unless tiles are as large as they get.
 */
export function layOut(groups: readonly Group[], width: number, height: number): Layout {
  const largest = groups.reduce((n, g) => Math.max(n, g.places.length), 0);
  // Hosts have up to eight GPUs or a multiple of it: rows of eight are read as one host.
  const columns = largest <= 16 ? Math.min(8, largest) : 0;
  if (largest === 0) return { width, height: 0, tile: most, groups: [], places: [] };
  if (columns === 0) return bySize(groups, width, height);
  const widest = Math.max(leastGroup, columns * (most + tileGap) - tileGap);
  const first = Math.max(1, Math.min(groups.length, Math.floor((width + groupGap) / (widest + groupGap))));
  let best: Layout | undefined;
  for (let perRow = first; ; perRow++) {
    const room = Math.floor((width - (perRow - 1) * groupGap) / perRow);
    const tile = Math.min(most, Math.floor((room + tileGap) / columns) - tileGap);
    if (best && (tile < least || room < leastGroup)) break;
    best = place(groups, width, Math.max(tile, least), columns, perRow);
    if (best.height <= height || perRow >= groups.length) break;
  }
  return best;
}

/** Large groups go below one another, as wide as the page. */
function bySize(groups: readonly Group[], width: number, height: number): Layout {
  for (let tile = most; ; tile -= 2) {
    const columns = Math.max(1, Math.floor((width + tileGap) / (tile + tileGap)));
    const l = place(groups, width, tile, columns, 1);
    if (l.height <= height || tile <= least) return l;
  }
}

function place(groups: readonly Group[], width: number, tile: number, columns: number, perRow: number): Layout {
  const pitch = tile + tileGap;
  const groupWidth = Math.max(leastGroup, columns * pitch - tileGap);
  const placed: PlacedGroup[] = [];
  const places: number[] = [];
  let y = 0;
  let rowHeight = 0;
  for (const [i, g] of groups.entries()) {
    if (i > 0 && i % perRow === 0) {
      y += rowHeight + rowGap;
      rowHeight = 0;
    }
    const rows = Math.ceil(g.places.length / Math.max(1, columns));
    const box = { x: (i % perRow) * (groupWidth + groupGap), y, width: groupWidth, height: titleHeight + rows * pitch - tileGap };
    placed.push({ ...box, name: g.name, first: places.length, count: g.places.length, columns });
    places.push(...g.places);
    rowHeight = Math.max(rowHeight, box.height);
  }
  return { width, height: y + rowHeight, tile, groups: placed, places };
}

/** The box of a tile. */
export function tileBox(l: Layout, tile: number): Box {
  const g = groupOf(l, tile);
  if (!g) return { x: 0, y: 0, width: 0, height: 0 };
  const i = tile - g.first;
  const pitch = l.tile + tileGap;
  return {
    x: g.x + (i % g.columns) * pitch,
    y: g.y + titleHeight + Math.floor(i / g.columns) * pitch,
    width: l.tile,
    height: l.tile,
  };
}

/** The tile at a point, or -1. The gap after a tile belongs to it, so that the pointer does not flicker. */
export function tileAt(l: Layout, x: number, y: number): number {
  const pitch = l.tile + tileGap;
  for (const g of l.groups) {
    if (x < g.x || x >= g.x + g.width || y < g.y + titleHeight || y >= g.y + g.height + tileGap) continue;
    const column = Math.floor((x - g.x) / pitch);
    const i = Math.floor((y - g.y - titleHeight) / pitch) * g.columns + column;
    return column < g.columns && i < g.count ? g.first + i : -1;
  }
  return -1;
}

/** The nearest tile above (-1) or below (1) a tile; itself where there is none. */
export function tileBeside(l: Layout, tile: number, direction: -1 | 1): number {
  const from = tileBox(l, tile);
  let best = tile;
  let bestDistance = Infinity;
  for (let i = tile + direction; i >= 0 && i < l.places.length; i += direction) {
    const to = tileBox(l, i);
    const down = (to.y - from.y) * direction;
    if (down <= 0) continue;
    // Rows first: what is nearer in height wins over what is nearer in width.
    const distance = down * 1000 + Math.abs(to.x - from.x);
    if (distance < bestDistance) {
      best = i;
      bestDistance = distance;
    } else if (down * 1000 > bestDistance) break;
  }
  return best;
}

function groupOf(l: Layout, tile: number): PlacedGroup | undefined {
  let low = 0;
  let high = l.groups.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((l.groups[middle]?.first ?? Infinity) <= tile) low = middle;
    else high = middle - 1;
  }
  return l.groups[low];
}
