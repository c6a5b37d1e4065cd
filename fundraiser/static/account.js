// The token of a letter's link stands in the fragment: it goes into the form, and out of the address.
const linkForm = document.getElementById("link-form");
const token = location.hash.slice(1);
if (linkForm && /^[\w-]{43}$/.test(token)) {
  document.getElementById("link").value = token;
  document.getElementById("link-broken").hidden = true;
  linkForm.hidden = false;
  history.replaceState(null, "", location.pathname + location.search);
}

// So does the code of a gift, which the reader sees before it is sent.
const giftCode = document.getElementById("gift-code");
if (giftCode && /^[A-Z2-9-]{16,19}$/.test(token)) {
  giftCode.value = token;
  history.replaceState(null, "", location.pathname + location.search);
}

// A second click does not send a second form; where nothing came of the first, one may try again.
for (const form of document.querySelectorAll('form[method="post"]')) {
  let sentAt = -Infinity;
  form.addEventListener("submit", (event) => {
    if (event.timeStamp - sentAt < 10_000) event.preventDefault();
    else sentAt = event.timeStamp;
  });
  addEventListener("pageshow", () => {
    sentAt = -Infinity;
  });
}
