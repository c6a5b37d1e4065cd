// @ts-check
/**
 * Tells the page around the iframe how tall it is, and where a reader wants to go.
 *
 * WordPress frames what it discovers by oEmbed with sandbox="allow-scripts", where no link leads
 * out. It hands the frame a secret in the fragment and follows its "link" message instead, if the
 * address is on the frame's own host and the frame has the focus (wp-includes/js/wp-embed.js).
 */
{
  const secret = location.hash.replace(/.*secret=/, "");
  /** @type {(message: string, value: string | number) => void} */
  const tell = (message, value) => parent.postMessage({ message, value, secret }, "*");

  new ResizeObserver(() => tell("height", document.body.offsetHeight)).observe(document.body);
  document.addEventListener("membership-progress:join", (event) =>
    tell("link", /** @type {CustomEvent<{href: string}>} */ (event).detail.href),
  );
}
