/** The one script a page loads, with <script type="module">: defines <sdz-img> and upgrades img[data-sdz]. */

import { watch } from "./page/auto.js";
import { SdzImg } from "./page/element.js";

if (!customElements.get("sdz-img")) customElements.define("sdz-img", SdzImg);
watch();
