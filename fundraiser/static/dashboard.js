// A form with data-live (the ids of what its answer changes) shows its results while somebody types.
// Without this it is an ordinary form.
for (const form of document.querySelectorAll('form[data-live]')) {
  const places = form.dataset.live.split(' ').map(id => document.getElementById(id))
  let waiting = 0
  let asked

  const search = async () => {
    const query = new URLSearchParams(new FormData(form))
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

// A button with data-copy (the id of what to copy) copies, and says so. CSS hides it without scripts.
document.addEventListener('click', async ({ target }) => {
  const button = target.closest('[data-copy]')
  if (!button) return
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent)
  button.textContent = button.dataset.copied
})
