// A page that is left open stops showing what it showed when its session has ended: in this browser, in
// another one, or by itself. Asking by script keeps nobody signed in.
const LIGHT_PAGES = { staff: "/staff/account", account: "/account/details" };
const signOut = document.querySelector('form[action^="/staff/sign-out"], form[action^="/account/sign-out"]');
const pages = new BroadcastChannel("signed-out");

if (signOut) {
  const area = new URL(signOut.action).pathname.split("/")[1];
  const leaveIfSignedOut = async () => {
    const answer = await fetch(LIGHT_PAGES[area], { method: "HEAD", redirect: "manual" }).catch(() => null);
    if (answer?.type === "opaqueredirect" || answer?.status === 401) location.replace(`/${area}/sign-in`);
  };
  pages.addEventListener("message", leaveIfSignedOut);
  document.addEventListener("visibilitychange", () => document.hidden || leaveIfSignedOut());
  if (area === "staff") setInterval(leaveIfSignedOut, 60_000);
} else {
  pages.postMessage("Who is still signed in?");
}
