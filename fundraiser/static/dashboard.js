// A form with data-live (the ids of what its answer changes) shows its results while somebody types.
// Without this it is an ordinary form.
for (const form of document.querySelectorAll('form[data-live]')) {
  const places = form.dataset.live.split(' ').map(id => document.getElementById(id))
  let waiting = 0
  let asked

  const search = async () => {
    const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value))
    // What is usual needs no place in the address.
    for (const usual of form.querySelectorAll('[data-usual]')) {
      const boxes = [...usual.querySelectorAll('input')]
      if (boxes.every(box => box.checked === box.defaultChecked)) query.delete(usual.dataset.usual)
    }
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

// A chart with data-stops ([% across, pixels down, what to say]) gets a cursor: an unseen slider, for
// keys and screen readers, which also follows a pointer or a finger.
for (const chart of document.querySelectorAll('[data-stops]')) {
  const stops = JSON.parse(chart.dataset.stops)
  const plot = chart.querySelector('.chart-plot')
  const said = chart.previousElementSibling
  const [line, dot] = ['line', 'circle'].map(name => document.createElementNS(plot.namespaceURI, name))
  const slider = document.createElement('input')
  Object.assign(slider, { type: 'range', max: stops.length - 1, value: stops.length - 1, className: 'chart-slider' })
  slider.setAttribute('aria-label', chart.dataset.label)

  const speak = () => {
    const [x, y, text] = stops[slider.value]
    slider.setAttribute('aria-valuetext', text)
    said.textContent = text
    return [x, y]
  }
  const show = () => {
    const [x, y] = speak()
    const places = { x1: `${x}%`, x2: `${x}%`, y1: 16, y2: plot.clientHeight - 24, class: 'cursor' }
    for (const [name, value] of Object.entries(places)) line.setAttribute(name, value)
    for (const [name, value] of Object.entries({ cx: `${x}%`, cy: y, r: y === null ? 0 : 5, class: 'dot' })) dot.setAttribute(name, value)
    plot.append(line, dot)
  }
  const follow = ({ clientX }) => {
    const { left, width } = plot.getBoundingClientRect()
    const far = ([x]) => Math.abs(x - (clientX - left) / width * 100)
    slider.value = stops.reduce((best, stop, place) => far(stop) < far(stops[best]) ? place : best, 0)
    show()
  }

  speak()
  slider.addEventListener('input', show)
  plot.addEventListener('pointermove', follow)
  plot.addEventListener('pointerdown', follow)
  chart.append(slider)
}

// A field with data-from-fragment takes what stands behind the # of the address, and hides it there.
for (const field of document.querySelectorAll('[data-from-fragment]')) {
  if (location.hash.length < 2) continue
  field.value = location.hash.slice(1)
  history.replaceState(null, '', location.pathname)
}

// A box with data-ticks (a selector) ticks those boxes, or none of them.
document.addEventListener('change', ({ target }) => {
  if (!target.dataset.ticks) return
  for (const box of document.querySelectorAll(target.dataset.ticks)) box.checked = target.checked
})

// A button with data-copy (the id of what to copy) copies, and says so. CSS hides it without scripts.
document.addEventListener('click', async ({ target }) => {
  const button = target.closest('[data-copy]')
  if (!button) return
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent)
  button.textContent = button.dataset.copied
})
