import { overpoolApp } from './overpool-app.ts'

// `npx cdk deploy` runs this in a clone. `const { stack } = await …` has the handlers, to grant them what they need besides.
await overpoolApp()
