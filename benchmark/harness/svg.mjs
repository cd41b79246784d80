// @ts-check
// What all pictures have in common: hand-written SVG whose mid tones hold their contrast on light and on dark ground, with or without
// style support in the viewer.

/** Per server, the same in every picture. @type {Record<string, string>} */
const COLOURS = {
  ringline: '#2f81f7',
  'ringline-inline': '#1f9e89',
  'ringline-rs': '#8250df',
  raw: '#768390',
  mmsg: '#768390',
  fio: '#768390',
  epoll: '#9a6700',
  node: '#4c9a4c',
  bun: '#d4628f',
  deno: '#d1752f',
}
const OTHERS = ['#bf4b3a', '#3192aa', '#a0a13a', '#b083f0', '#57606a', '#c4762b']

/** @param {string} server @param {number} index among those shown */
export const colourOf = (server, index) => COLOURS[server] ?? OTHERS[index % OTHERS.length]

export const escapeText = (/** @type {string} */ text) => text.replace(/[&<>]/g, (sign) => `&#${sign.charCodeAt(0)};`)

/** @param {number} x @param {number} y @param {string} content @param {string} [attributes] */
export const text = (x, y, content, attributes = '') =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${attributes}>${escapeText(content)}</text>`

/**
 * A whole picture. @param {{ width: number, height: number, title: string, subtitle: string, footer: string, body: string[] }} picture
 */
export function svg({ width, height, title, subtitle, footer, body }) {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
<title>${escapeText(title)}</title>
<style>
  text { font: 12px system-ui, sans-serif; fill: #768390 }
  .title { font-size: 16px; font-weight: 600 }
  .strong { font-weight: 600 }
  .axis { stroke: #768390; stroke-width: 1 }
  .grid { stroke: #768390; stroke-opacity: 0.2 }
</style>
${text(16, 24, title, 'class="title"')}
${text(16, 44, subtitle)}
${body.join('\n')}
${text(16, height - 8, footer)}
</svg>
`
}

/** @param {{ environment: import('./results.mjs').Environment }} report @param {string} [how] it was measured */
export const footerOf = ({ environment }, how = 'medians of interleaved rounds') =>
  `Linux ${environment.kernel.split('-')[0]}, ${environment.date}; ${how}; less is better`
