import type { PageSettings } from '../../../shared/invoice/page-settings.ts'

/** The style of the page. Colours are named once, for light and for dark. */
export const STYLE = `:root{color-scheme:light dark;--page:#f2f4f7;--card:#fff;--text:#10182b;--soft:#556079;--line:#dde2ea;--field:#f4f6f9;--accent:#1849c6;--on-accent:#fff;--link:#1849c6;--wait:#1849c6;--done:#08703f;--warn:#8a4b00;--stop:#b3261e}
@media (prefers-color-scheme:dark){:root{--page:#0c1018;--card:#161c28;--text:#eef1f7;--soft:#a7b1c5;--line:#2b3445;--field:#0f141e;--accent:#7ba2ff;--on-accent:#0a1226;--link:#9db9ff;--wait:#9db9ff;--done:#5ad19a;--warn:#f5b760;--stop:#ff9a90}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;overflow-wrap:anywhere}
main{max-width:28rem;margin:0 auto;padding:1rem}
p,h1,h2,dl,dd,ul,figure{margin:0;padding:0}
a{color:var(--link)}
code{font:.875em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;user-select:all}
.unseen{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
header{display:flex;align-items:center;gap:.75rem;min-height:48px;margin:.25rem .25rem 1rem}
header img{flex:none;border-radius:10px;object-fit:contain}
header span{display:block;color:var(--soft);font-size:.875rem;line-height:1.3}
header b{font-size:1.125rem;line-height:1.3}
.card{background:var(--card);border:1px solid var(--line);border-radius:16px;overflow:hidden;box-shadow:0 1px 2px #0a142814,0 8px 24px #0a14280f}
.bill,.others{padding:1.5rem 1.25rem}
.state{display:grid;grid-template-columns:auto 1fr;column-gap:.75rem;align-items:center;margin:-1.5rem -1.25rem 0;padding:1.25rem;background:color-mix(in srgb,var(--state) 8%,var(--card));border-bottom:1px solid var(--line)}
.state p{grid-column:1/-1;margin-top:.5rem;color:var(--soft)}
.state .todo{color:var(--text);border-inline-start:3px solid var(--state);padding-inline-start:.75rem}
main{--state:var(--warn)}
[data-state=open],[data-state=underWay]{--state:var(--wait)}
[data-state=paid]{--state:var(--done)}
[data-state=expired],[data-state=cancelled]{--state:var(--stop)}
.icon{color:var(--state);width:32px;height:32px}
[data-state=paid] .icon{width:44px;height:44px}
h1{font-size:1.25rem;line-height:1.25;color:var(--state)}
h1:focus{outline:none}
.amount{margin-bottom:1rem;padding:1rem 0;border-bottom:1px solid var(--line)}
.amount span{display:block;color:var(--soft);font-size:.9375rem}
.amount b{font-size:2.25rem;line-height:1.15;font-weight:700;letter-spacing:-.02em;font-variant-numeric:tabular-nums}
.amount p+p{color:var(--soft);font-variant-numeric:tabular-nums}
[data-state=expired] .amount b,[data-state=cancelled] .amount b{text-decoration:line-through;color:var(--soft)}
dl>div{display:grid;grid-template-columns:6.5rem 1fr;gap:0 .75rem;padding:.25rem 0}
dt{color:var(--soft)}
#left{display:block;min-height:1.5em;color:var(--soft);font-variant-numeric:tabular-nums}
.items{list-style:none;margin-top:.75rem;padding-top:.75rem;border-top:1px solid var(--line)}
.items li{display:flex;justify-content:space-between;gap:1rem;padding:.125rem 0}
.items span{flex:none;font-variant-numeric:tabular-nums}
button,.button{font:inherit;border-radius:10px;cursor:pointer}
:focus-visible{outline:3px solid var(--link);outline-offset:2px}
.pay{margin-top:1.25rem}
#pay{width:100%;min-height:52px;padding:.5rem 1rem;border:0;background:var(--accent);color:var(--on-accent);font-weight:600;font-size:1.0625rem}
#pay:hover{filter:brightness(1.08)}
#pay[aria-disabled=true]{cursor:progress;opacity:.75}
#note{min-height:3em;margin-top:.75rem;color:var(--soft);font-size:.9375rem}
#note.loud{color:var(--text)}
.others{border-top:1px solid var(--line)}
figure{text-align:center}
.qr{display:block;width:100%;max-width:240px;height:auto;aspect-ratio:1;margin:0 auto .75rem;border-radius:12px;border:1px solid var(--line)}
figcaption{max-width:20rem;margin:0 auto;color:var(--soft);font-size:.9375rem}
details{margin-top:1.25rem;border-top:1px solid var(--line)}
summary{padding:.875rem 0;cursor:pointer;font-weight:600}
h2{margin-top:1rem;font-size:.9375rem}
summary+h2{margin-top:0}
details p{color:var(--soft);font-size:.9375rem}
.copied{display:flex;flex-wrap:wrap;align-items:flex-start;gap:.5rem;margin-top:.25rem}
.copied code{flex:1 1 12rem;min-width:0;padding:.5rem .75rem;background:var(--field);border:1px solid var(--line);border-radius:10px}
.copied .line{flex-basis:8rem;overflow:hidden;text-overflow:ellipsis;white-space:nowrap;line-height:1.75rem}
.copied button,.button{display:inline-block;min-height:44px;padding:.5rem 1rem;border:1px solid var(--line);background:transparent;color:var(--text);text-decoration:none;font-size:.9375rem}
.copied button:hover,.button:hover{background:var(--field)}
.receipt{margin-top:1rem;padding-top:1rem;border-top:1px solid var(--line)}
.receipt>div{display:block;padding:.375rem 0}
.receipt small{display:block;margin-top:.375rem;color:var(--soft);font-size:.875rem}
footer{margin:1rem .25rem;color:var(--soft);font-size:.875rem}
@media (min-width:52rem){main{padding-top:3rem}.card.wide{display:grid;grid-template-columns:1fr 22rem}main:has(.wide){max-width:54rem}.bill,.others{padding:2rem}.state{margin:-2rem -2rem 0;padding:1.5rem 2rem}.wide .others{border-top:0;border-inline-start:1px solid var(--line)}}
@media (scripting:none){#pay,#note,[data-copy]{display:none}}
@media (prefers-reduced-motion:no-preference){[data-state=underWay] .icon path{animation:turn 2s linear infinite;transform-origin:12px 12px}@keyframes turn{to{transform:rotate(1turn)}}}
@media (forced-colors:active){#pay{border:1px solid}}
@media print{:root{--page:#fff;--card:#fff;--text:#000;--soft:#444;--line:#bbb;--field:#fff}.card{box-shadow:none}button,.pay,.others{display:none!important}}
`

/** A shop's own colours; empty if it has none. They have been checked: nothing but a colour gets here. */
export function colorStyle({ accent, dark = accent }: NonNullable<PageSettings['colors']> = {}): string {
  const light = accent === undefined ? '' : `:root{${buttonOf(accent)}}`
  return dark === undefined ? light : `${light}@media (prefers-color-scheme:dark){:root{${buttonOf(dark)}}}`
}

/** The colour of the button, with black or white text on it, whichever is easier to read. */
function buttonOf(color: string): string {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const share = Number.parseInt(color.slice(at, at + 2), 16) / 255
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
  }) as [number, number, number]
  const luminance = 0.2126 * r + 0.7152 * g + 0.0722 * b // WCAG 2: black on it has a contrast of (luminance + 0.05) / 0.05, white 1.05 / (luminance + 0.05)
  return `--accent:${color};--on-accent:${(luminance + 0.05) ** 2 > 1.05 * 0.05 ? '#000' : '#fff'}`
}
