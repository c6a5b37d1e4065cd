// A letter that arrives shows by itself, unless somebody is typing in the search field.
const query = new URLSearchParams(location.search);
query.set("after", document.currentScript.dataset.newest);
setInterval(async () => {
  if (document.hidden || document.activeElement?.id === "to") return;
  const answer = await fetch(`/letters.json?${query}`).catch(() => null);
  const letters = answer?.ok ? await answer.json() : [];
  if (letters.length) location.reload();
}, 2000);
