/**
 * Imports everything that `later` would import on demand: for service workers, which cannot import anything after installation, and for
 * workers that a bundler puts into one file.
 */

import * as alpha from "./format/alpha.js";
import * as indices from "./format/indices.js";
import { later } from "./later.js";
import * as palette from "./format/palette.js";

later.indices = async () => indices;
later.palette = async () => palette;
later.alpha = async () => alpha;
