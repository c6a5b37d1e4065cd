// A link to pass on is copied or shared with a tap; without either it stands in its field.
const passOn = document.getElementById("pass-on");
if (passOn && isSecureContext) {
  const own = document.getElementById("link");
  const copied = document.getElementById("copied");
  const share = document.getElementById("share");
  passOn.hidden = false;
  share.hidden = !navigator.share;
  document.getElementById("copy").addEventListener("click", async () => {
    own.select();
    await navigator.clipboard.writeText(own.value);
    copied.textContent = copied.dataset.text;
  });
  share.addEventListener("click", () => navigator.share({ url: own.value }).catch(() => {}));
}
