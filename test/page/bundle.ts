import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { type BuildOptions, build } from 'esbuild'

const pathOf = (file: string) => fileURLToPath(new URL(`../../${file}`, import.meta.url))

/** Where the invoice page reads its script from, and the studio its script and style. */
export const SCRIPT_FILE = pathOf('functions/payments/invoice-page/script.ts')
export const STUDIO_FILE = pathOf('studio/bundle.ts')

const OPTIONS = {
  bundle: true,
  minify: true,
  write: false,
  format: 'iife',
  target: 'es2022',
  platform: 'browser',
  tsconfigRaw: {},
} satisfies BuildOptions

/** The script of the invoice page, from its sources, as the module that the page imports. So nothing has to be built where the page is served. */
export async function bundledScript(): Promise<string> {
  const { outputFiles } = await build({ ...OPTIONS, entryPoints: [pathOf('functions/payments/invoice-page/browser/main.ts')] })
  const text = outputFiles[0]!.text.trim()
  return `// Made by \`npm run page\` from the files in browser/. Do not edit it.\nexport const SCRIPT =\n  ${JSON.stringify(text)}\n`
}

/** The script and the style of the studio, likewise. */
export async function bundledStudio(): Promise<string> {
  const { version } = createRequire(import.meta.url)('preact/package.json') as { version: string }
  const licence = readFileSync(pathOf('node_modules/preact/LICENSE'), 'utf8').match(/Copyright.*/)![0]
  const script = await build({
    ...OPTIONS,
    entryPoints: [pathOf('studio/page/main.tsx')],
    jsx: 'automatic',
    jsxImportSource: 'preact',
    banner: { js: `/* with Preact ${version}, MIT licence, ${licence} */` },
  })
  const style = await build({ ...OPTIONS, entryPoints: [pathOf('studio/page/style.css')] })
  const [js, css] = [script, style].map(({ outputFiles }) => JSON.stringify(outputFiles[0]!.text.trim()))
  return `// Made by \`npm run page\` from the files in page/. Do not edit it.\nexport const SCRIPT =\n  ${js}\nexport const STYLE =\n  ${css}\n`
}

if (import.meta.main) {
  writeFileSync(SCRIPT_FILE, await bundledScript())
  writeFileSync(STUDIO_FILE, await bundledStudio())
}
