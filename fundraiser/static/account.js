// The token of a letter's link stands in the fragment: it goes into the form, and out of the address.
const linkForm = document.getElementById("link-form");
const token = location.hash.slice(1);
if (linkForm && /^[\w-]{43}$/.test(token)) {
  document.getElementById("link").value = token;
  document.getElementById("link-broken").hidden = true;
  linkForm.hidden = false;
  history.replaceState(null, "", location.pathname + location.search);
  // In the browser that asked nothing is left to do: a scanner that opens links is another one.
  if ("asked" in linkForm.dataset) linkForm.submit();
  else linkForm.elements.namedItem("code").focus();
}

// So do the code of a gift and the key of its e-mail. To look at the gift uses nothing up.
const giftCode = document.getElementById("gift-code");
const [code, key = ""] = token.split(".");
if (giftCode && /^[A-Z2-9-]{16,19}$/.test(code)) {
  history.replaceState(null, "", location.pathname + location.search);
  giftCode.value = code;
  document.getElementById("gift-key").value = key;
  giftCode.form.submit();
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
