/** Modules that a page loads only when a pack or a picture needs them. */

export const later = {
  indices: () => import("./format/indices.js"),
  palette: () => import("./format/palette.js"),
  alpha: () => import("./format/alpha.js"),
};
