import { render } from 'preact'
import { takeToken } from './api.ts'
import { App } from './app.tsx'
import { live } from './live.ts'

takeToken()
// Somebody who has the page open may paste the address again.
addEventListener('hashchange', () => {
  if (!location.hash.startsWith('#token=')) return
  takeToken()
  live.start()
})
live.start()
render(<App />, document.getElementById('studio')!)
