// The number with the new member rises once before their eyes. It is right without this file, and
// stays as it is where less motion is wanted or the page is loaded again.
const tally = document.querySelector("[data-joined]");
const seen = `joined ${location.search}`;
const stands = matchMedia("(prefers-reduced-motion: reduce)").matches || sessionStorage[seen];
if (tally && !stands) {
  sessionStorage[seen] = "yes";
  const figure = tally.querySelector(".tally-figure");
  const now = figure.textContent;
  figure.textContent = tally.dataset.before;
  setTimeout(() => {
    figure.textContent = now;
    figure.classList.add("risen");
  }, 900);
}
