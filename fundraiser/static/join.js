// What the button says follows the choice, and a second click does not send a second form.
// Without this file the page works the same: the amount is then named on the payment page.
// The gift page has neither an own amount nor a fee.
const form = document.getElementById("join");
const { currency, digits, least, basisPoints, fixed, pay, terms, fee, busy } = form.dataset;
const unit = 10 ** Number(digits);
const own = form.elements.namedItem("amount");
const cover = form.elements.namedItem("cover_fee");
const button = document.getElementById("pay");
const said = { pay: button.textContent };
for (const name of ["terms", "fee"]) said[name] = document.getElementById(name)?.textContent;

function written(amount) {
  return new Intl.NumberFormat(document.documentElement.lang, {
    style: "currency",
    currency,
    currencyDisplay: "narrowSymbol",
    minimumFractionDigits: amount % unit ? Number(digits) : 0,
    maximumFractionDigits: Number(digits),
  }).format(amount / unit);
}

// In the currency's smallest unit; null where nothing usable is typed, and the server will say so.
function chosen() {
  const typed = (own?.value ?? "").replace(/[\s€£$₴]/g, "");
  if (typed) {
    // Not "1,000", which the server asks about.
    if (!/^\d+([.,]\d{0,2})?$/.test(typed)) return null;
    const amount = Math.round(Number(typed.replace(",", ".")) * unit);
    return amount >= Number(least) ? amount : null;
  }
  const tier = form.querySelector("[name=tier]:checked");
  return tier && Number(tier.dataset.amount);
}

function say() {
  const amount = chosen();
  const added =
    amount && Math.ceil(((amount + Number(fixed)) * 10000) / (10000 - basisPoints)) - amount;
  const total = amount && written(amount + (cover?.checked ? added : 0));
  button.textContent = amount ? pay.replaceAll("{amount}", total) : said.pay;
  document.getElementById("terms").textContent = amount
    ? terms.replaceAll("{amount}", total)
    : said.terms;
  if (!cover) return;
  document.getElementById("fee").textContent = amount
    ? fee.replace("{fee}", written(added)).replace("{amount}", written(amount))
    : said.fee;
}

form.addEventListener("change", (event) => {
  if (event.target.name === "tier" && own) own.value = "";
  say();
});
own?.addEventListener("input", say);
// A suggested amount goes into the field at once; without this file the server puts it there.
for (const suggested of document.querySelectorAll(".suggestions button")) {
  suggested.addEventListener("click", (event) => {
    event.preventDefault();
    own.value = suggested.value.slice("amount=".length);
    say();
  });
}

// The button stays a button: where nothing came of the first click, ten seconds later one may try again.
let sentAt = -Infinity;
form.addEventListener("submit", (event) => {
  if (event.submitter?.name === "switch") return;
  if (event.timeStamp - sentAt < 10_000) {
    event.preventDefault();
    return;
  }
  sentAt = event.timeStamp;
  button.textContent = busy;
  setTimeout(say, 10_000);
});
// Back from the payment page: the browser may show this page as it was left.
addEventListener("pageshow", () => {
  sentAt = -Infinity;
  say();
});
