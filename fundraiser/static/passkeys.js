// A form with data-passkey ("create" or "get", with the server's data-options) has a passkey made or
// asked for when it is sent, and sends its answer. Where a browser can't, the form stays hidden.
const Credential = window.PublicKeyCredential
const ways = {
  create: (options) =>
    navigator.credentials.create({ publicKey: Credential.parseCreationOptionsFromJSON(options) }),
  get: (options) =>
    navigator.credentials.get({ publicKey: Credential.parseRequestOptionsFromJSON(options) }),
}

for (const form of document.querySelectorAll('form[data-passkey]')) {
  if (!Credential?.parseRequestOptionsFromJSON) break
  const answer = form.elements.passkey
  const failed = form.querySelector('[data-failed]')
  document.querySelectorAll('[data-without-passkeys]').forEach((note) => (note.hidden = true))
  form.hidden = false
  form.addEventListener('submit', async (event) => {
    if (answer.value) return
    event.preventDefault()
    failed.hidden = true
    try {
      const made = await ways[form.dataset.passkey](JSON.parse(form.dataset.options))
      answer.value = JSON.stringify(made)
      form.requestSubmit()
    } catch {
      failed.hidden = false
    }
  })
  addEventListener('pageshow', () => (answer.value = ''))
}
