import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

/** Where the page reads its script from. */
export const SCRIPT_FILE = fileURLToPath(new URL('../../functions/payments/invoice-page/script.ts', import.meta.url))

/** The script of the invoice page, from its sources, as the module that the page imports. So nothing has to be built where the page is served. */
export async function bundledScript(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL('../../functions/payments/invoice-page/browser/main.ts', import.meta.url))],
    bundle: true,
    minify: true,
    write: false,
    format: 'iife',
    target: 'es2022',
    platform: 'browser',
    tsconfigRaw: {},
  })
  const text = outputFiles[0]!.text.trim()
  return `// Made by \`npm run page\` from the files in browser/. Do not edit it.\nexport const SCRIPT =\n  ${JSON.stringify(text)}\n`
}

if (import.meta.main) writeFileSync(SCRIPT_FILE, await bundledScript())
