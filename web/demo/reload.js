/**
 * For who works on a site: loads the page again when its file has changed, as `sdz build --watch` changes it. Asks the server for the head of the
 * page alone; takes and hands on nothing.
 */

const MILLISECONDS = 1000;

/** @returns {Promise<string | null>} what tells this page from another version of it; null where the server cannot be reached */
const version = () =>
  fetch(location.href, { method: "HEAD", cache: "no-store" }).then(
    ({ ok, headers }) => (ok ? `${headers.get("etag")} ${headers.get("last-modified")} ${headers.get("content-length")}` : null),
    () => null,
  );

let first = await version();
setInterval(async () => {
  const now = document.hidden ? null : await version();
  first ??= now;
  if (now !== null && now !== first) location.reload();
}, MILLISECONDS);
