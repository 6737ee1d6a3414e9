/** Where the studio is. No pool has such a name. */
export const STUDIO_PATH = '/_/studio'

/** Whether a request is for the studio. @param path without its query */
export function isForStudio(path: string | undefined): path is string {
  return path === STUDIO_PATH || path?.startsWith(`${STUDIO_PATH}/`) === true
}
