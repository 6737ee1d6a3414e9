import { OverpoolError } from '../errors.ts'

/** How a shop's invoice pages look. */
export interface PageSettings {
  /** the shop's name, at the top of the page */
  name?: string
  /** an image: a path on the same host, such as "/logo.svg", or a data: URL. Nothing is loaded from elsewhere */
  logo?: string
  /** colours of the button, such as "#0a7f4f". `dark` is for browsers in dark mode; without it, `accent` is used there too */
  colors?: { accent?: string; dark?: string }
}

/** Characters of a shop's name. */
const MAX_NAME = 100
/** Characters of a logo: it is a part of each page, or its path is. */
const MAX_LOGO = 16_384
const LOGO_DATA = /^data:image\/(png|jpeg|gif|webp|avif|svg\+xml)(;charset=utf-8)?(;base64)?,[\w!$&'()*+,./:;=?@%~-]+$/i
/** Not "//host/logo.svg", which is on another host, and nothing that a browser reads as such. */
const LOGO_PATH = /^\/(?![/\\])[\w!$&'()*+,./:;=?@%~-]*$/
const COLOR = /^#[\da-f]{6}$/i

/** The settings of an invoice page, or BAD_CONFIG with the setting to change. */
export function checkPageSettings(value: unknown, where: string): PageSettings {
  const { name, logo, colors, ...rest } = objectAt(value, where)
  refuseRest(rest, where, 'name, logo and colors')
  if (name !== undefined && !(typeof name === 'string' && name.trim() && name.length <= MAX_NAME))
    throw wrong(`${where}.name is a text of up to ${MAX_NAME} characters`)
  if (logo !== undefined && !(typeof logo === 'string' && logo.length <= MAX_LOGO && (LOGO_PATH.test(logo) || LOGO_DATA.test(logo))))
    throw wrong(
      `${where}.logo is the path of an image on the same host, such as "/logo.svg", or a data: URL of an image, of up to ${MAX_LOGO} characters: the page loads nothing from other hosts`,
    )
  if (colors !== undefined) {
    const { accent, dark, ...others } = objectAt(colors, `${where}.colors`)
    refuseRest(others, `${where}.colors`, 'accent and dark')
    for (const [key, color] of Object.entries({ accent, dark })) {
      if (color !== undefined && !(typeof color === 'string' && COLOR.test(color)))
        throw wrong(`${where}.colors.${key} is a colour of six digits, such as "#0a7f4f"`)
    }
  }
  return value as PageSettings
}

function objectAt(value: unknown, where: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(`${where} is an object`)
  return value as Record<string, unknown>
}

function refuseRest(rest: object, where: string, known: string): void {
  for (const key of Object.keys(rest)) throw wrong(`there is no setting \`${where}.${key}\`; there are ${known}`)
}

function wrong(what: string): OverpoolError {
  return new OverpoolError('BAD_CONFIG', `the config is wrong: ${what}`)
}
