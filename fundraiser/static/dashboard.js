// A form with data-live (the ids of what its answer changes) shows its results while somebody types.
// Without this it is an ordinary form.
for (const form of document.querySelectorAll('form[data-live]')) {
  const places = form.dataset.live.split(' ').map(id => document.getElementById(id))
  let waiting = 0
  let asked

  const search = async () => {
    const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value))
    const address = `${form.action}?${query}`
    asked?.abort()
    asked = new AbortController()
    places[0].setAttribute('aria-busy', 'true')
    try {
      const answer = await fetch(address, { signal: asked.signal, headers: { Accept: 'text/html' } })
      if (answer.redirected || !answer.ok) return location.assign(address)
      const page = new DOMParser().parseFromString(await answer.text(), 'text/html')
      for (const place of places) place.replaceChildren(...page.getElementById(place.id).childNodes)
      history.replaceState(null, '', address)
    } catch (error) {
      if (error.name === 'AbortError') return
    }
    places[0].removeAttribute('aria-busy')
  }

  form.addEventListener('input', () => {
    clearTimeout(waiting)
    waiting = setTimeout(search, 200)
  })
}

// A place with data-progress (a campaign's progress) is renewed when the number's version has grown.
const live = document.querySelector('[data-progress]')
const look = async () => {
  if (document.hidden) return
  try {
    const { version } = await (await fetch(live.dataset.progress)).json()
    if (!(version > Number(live.dataset.version))) return
    const answer = await fetch(location.href, { headers: { Accept: 'text/html' } })
    if (answer.redirected || !answer.ok) return
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html')
    const fresh = page.getElementById(live.id)
    live.replaceChildren(...fresh.childNodes)
    live.dataset.version = fresh.dataset.version
  } catch {} // the next look may find the way
}
if (live) {
  setInterval(look, 3000)
  document.addEventListener('visibilitychange', look)
}

// A field with data-from-fragment takes what stands behind the # of the address, and hides it there.
for (const field of document.querySelectorAll('[data-from-fragment]')) {
  if (location.hash.length < 2) continue
  field.value = location.hash.slice(1)
  history.replaceState(null, '', location.pathname)
}

// A button with data-copy (the id of what to copy) copies, and says so. CSS hides it without scripts.
document.addEventListener('click', async ({ target }) => {
  const button = target.closest('[data-copy]')
  if (!button) return
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent)
  button.textContent = button.dataset.copied
})
